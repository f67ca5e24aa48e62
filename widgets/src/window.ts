// What fills the model's window, and what a turn costs: estimates from the log, in tokens and USD.
import type { ContextUpdateEvent } from './events';
import type { RunState } from './run';

export type Filler = 'before' | 'system' | 'tools' | 'skills' | 'earlier' | 'files' | 'people' | 'thoughts' | 'answers' | 'calls' | 'results';

export interface Part {
  of: Filler;
  tokens: number;
}

const CHARS_PER_TOKEN = 3.6;
const TOKENS_OF_A_PICTURE = 1_500;
const ORDER: readonly Filler[] = ['before', 'system', 'tools', 'skills', 'earlier', 'people', 'thoughts', 'answers', 'calls', 'results', 'files'];
const READERS = new Set(['read_file', 'notebook_read', 'list_files', 'search_files']);

/** What stands before the run's own words, in characters. */
export type Ahead = Record<'system' | 'tools' | 'skills' | 'earlier', number>;

/** How full the window is after the last turn: tokens used, and tokens there are (0: not known). */
export function fullness(run: RunState): { used: number; most: number } {
  const last = run.turns[run.turns.length - 1];
  const counted = last ? last.context_tokens || promptTokens(last) + last.output_tokens : 0;
  return { used: counted, most: last?.context_window ?? 0 };
}

/** The window's content by kind. The sum is what the provider counted; the shares are estimated by length. */
export function fillers(run: RunState, ahead: Ahead | null = null): Part[] {
  const { used } = fullness(run);
  const sizes = { people: 0, thoughts: 0, answers: 0, calls: 0, results: 0, files: 0 };
  for (const entry of run.entries) {
    if (entry.kind === 'message') {
      sizes[entry.event.role === 'user' ? 'people' : 'answers'] += entry.event.text.length / CHARS_PER_TOKEN;
    } else if (entry.kind === 'thought') {
      sizes.thoughts += entry.event.text.length / CHARS_PER_TOKEN;
    } else if (entry.kind === 'call') {
      sizes.calls += JSON.stringify(entry.event.args).length / CHARS_PER_TOKEN;
      sizes[READERS.has(entry.event.tool) ? 'files' : 'results'] += (entry.result?.content ?? []).reduce((sum, block) => sum + sizeOf(block), 0);
    }
  }
  const known = Object.values(sizes).reduce((sum, size) => sum + size, 0);
  const scale = known > used ? used / known : 1;
  const before = Math.max(0, used - known);
  const own = Object.entries(sizes).map(([of, size]): [string, number] => [of, size * scale]);
  const parts = new Map([...shared(before, ahead), ...own]);
  return ORDER.map(of => ({ of, tokens: Math.round(parts.get(of) ?? 0) })).filter(part => part.tokens > 0);
}

/** What is not the run's own, divided by what the server knows of it. */
function shared(tokens: number, ahead: Ahead | null): Array<[string, number]> {
  const whole = ahead ? Object.values(ahead).reduce((sum, size) => sum + size, 0) : 0;
  return ahead && whole ? Object.entries(ahead).map(([of, size]) => [of, (tokens * size) / whole]) : [['before', tokens]];
}

function sizeOf(block: Record<string, unknown>): number {
  return block['type'] === 'image' ? TOKENS_OF_A_PICTURE : String(block['text'] ?? '').length / CHARS_PER_TOKEN;
}

/** Tokens a request was made of, from the cache or not. */
export function promptTokens(usage: Pick<ContextUpdateEvent, 'input_tokens' | 'cache_read_tokens' | 'cache_write_tokens'>): number {
  return usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens;
}

/** Share of the prompt that came from the cache, 0 to 1. */
export function cacheShare(run: RunState): number {
  const prompt = promptTokens(run.usage);
  return prompt ? run.usage.cache_read_tokens / prompt : 0;
}

/** About what one more turn costs: as much as the last three did on average. Null when no price is known. */
export function nextTurnCost(run: RunState): number | null {
  const costs = run.turns.slice(-3).map(turn => turn.cost_usd);
  return costs.length && costs.every(cost => cost !== null)
    ? costs.reduce<number>((sum, cost) => sum + (cost ?? 0), 0) / costs.length
    : null;
}

export function money(usd: number): string {
  return `$${usd.toFixed(usd !== 0 && usd < 0.1 ? 4 : 2)}`;
}

export function short(count: number): string {
  return count < 10_000 ? count.toLocaleString('en') : `${Math.round(count / 1000).toLocaleString('en')}k`;
}
