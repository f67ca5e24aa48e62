// Text of strangers as plain text: nothing in it deceives, or is longer than can be read.
// Characters that reorder or hide text are spelled out: what is read must be what is there.
const DECEIVING = /[\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]/g;
// eslint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u0008\u000b\u000c\u000e-\u001a\u001c-\u001f\u007f-\u009f]/g;

export function visible(text: string): string {
  return text
    .replace(CONTROL, '�')
    .replace(DECEIVING, char => `⟦U+${char.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}⟧`);
}

export function oneLine(text: string, most = 120): string {
  const flat = visible(text.slice(0, most * 8)).replace(/\u001b\[[0-9;]*m/g, '').split(/\s+/).join(' ').trim();
  return flat.length > most ? `${flat.slice(0, most - 1)}…` : flat;
}

const ATTACHED = /\n\n(?:File|Value of|DataFrame) `([^\n]*)`[^\n]*:\n/;

/** A prompt as it was typed, the names of what it names, and what stands below it of them; see agent_kernel/mentions.py. */
export function parted(prompt: string): { typed: string; names: string[]; below: string } {
  const at = prompt.search(ATTACHED);
  const below = at < 0 ? '' : prompt.slice(at);
  const names = [...below.matchAll(new RegExp(ATTACHED, 'g'))].map(found => found[1]!);
  return { typed: below ? prompt.slice(0, at) : prompt, names, below: below.trim() };
}

/** Without the lines that tell the model where strangers' text begins and ends; see agent_kernel/foreign.py. */
export function unmarked(text: string): string {
  return text.replace(/^<outside-[0-9a-f]{16} from="[^"\n]*">\n?/, '').replace(/\n?<\/outside-[0-9a-f]{16}>$/, '');
}

const MOST_SHOWN = 20_000;

export function shortened(text: string): string {
  if (text.length <= MOST_SHOWN) {
    return text;
  }
  const cut = text.length - MOST_SHOWN;
  return `${text.slice(0, MOST_SHOWN / 2)}\n… ${cut.toLocaleString('en')} characters are not shown …\n${text.slice(-MOST_SHOWN / 2)}`;
}
