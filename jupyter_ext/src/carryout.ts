// Carries out what a line that begins with a slash asks for.
import { oneLine } from '../../widgets/src/views/plain';
import type { Tab } from './RunDetail';
import { Refused, RunRow } from './api';
import { COMMANDS, Typed } from './commands';
import type { Host } from './host';
import type { Hub } from './hub';

export interface Desk {
  hub: Hub;
  host: Host;
  /** The run that is shown. */
  row: RunRow | null;
  show(tab: Tab): void;
  /** Choose the model of the next run, or ('') just say it. */
  model(name: string): string;
  /** What is asked next begins a conversation of its own. */
  renew(): void;
}

export const FORMATS: ReadonlyArray<[format: string, name: string]> = [
  ['ipynb', 'Notebook'],
  ['html', 'HTML'],
  ['md', 'Markdown'],
  ['clean', 'Clean Python cells']
];

/** What there is to say of it, '' where the panel shows it. Throws an Error that says what is wrong. */
export async function carryOut(typed: NonNullable<Typed>, desk: Desk): Promise<string> {
  if ('problem' in typed) {
    throw new Error(typed.problem);
  }
  const { name, argument } = typed;
  const { hub } = desk;
  switch (name) {
    case 'help':
      return Object.entries(COMMANDS).map(([command, about]) => `/${command}  ${about}`).join('\n');
    case 'model':
      return `Model: ${desk.model(argument)}`;
    case 'runs':
      await hub.select(null);
      return '';
    case 'new':
      desk.renew();
      return 'What you ask next begins a conversation of its own.';
  }
  const { row } = desk;
  if (!row) {
    throw new Error(`/${name} needs a run: open one of the list first.`);
  }
  switch (name) {
    case 'status':
      return `${row.status}${row.reason ? ` (${row.reason})` : ''}: ${oneLine(row.prompt, 90)}`;
    case 'say':
      await hub.api.say(row.id, argument);
      return '';
    case 'approve':
      return approve(hub, row, argument || 'allow');
    case 'stop':
    case 'pause':
    case 'resume':
      await hub.act(row.id, { kind: 'control', action: name === 'stop' ? 'cancel' : name });
      return '';
    case 'compact':
    case 'clear':
      await hub.act(row.id, { kind: 'shorten', clear: name === 'clear' });
      return '';
    case 'undo':
      await hub.act(row.id, { kind: 'undo', call_id: null, ...(argument ? { path: argument } : {}) });
      return '';
    case 'diff':
      desk.show('files');
      return '';
    case 'cost':
      desk.show('context');
      return '';
    case 'export':
      download(desk.host, hub, row, argument || 'ipynb');
      return '';
    case 'retry':
      await hub.retry(row.id);
      return '';
  }
}

/** Answers the oldest request of a run. */
async function approve(hub: Hub, row: RunRow, decision: string): Promise<string> {
  const asked = hub.fold(row.id)?.entries.find(entry => entry.kind === 'approval' && !entry.answer);
  if (asked?.kind !== 'approval') {
    return 'The run asks nothing.';
  }
  if (decision !== 'allow' && decision !== 'session' && decision !== 'deny') {
    throw new Error(`“${decision}” is not an answer. Say allow, session or deny.`);
  }
  await hub.act(row.id, { kind: 'approve', id: asked.request.id, decision });
  return '';
}

/** Raises Refused for a format there is not. */
export function download(host: Host, hub: Hub, row: RunRow, format: string): void {
  const kind = format.replace(/^.*\./, '');
  if (!FORMATS.some(([known]) => known === kind)) {
    throw new Refused(400, `${format} is none of ${FORMATS.map(([known]) => known).join(', ')}.`, '');
  }
  host.download(hub.api.transcriptUrl(row.id, kind));
}
