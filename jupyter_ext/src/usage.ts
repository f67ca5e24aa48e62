// What many runs used, added up by whatever one wants to compare: days, models, agents.
import type { Worked } from './api';

export type Along = 'day' | 'model' | 'agent';

export interface Total {
  name: string;
  runs: number;
  completed: number;
  /** Those that came to an end of whatever kind; success is a share of them. */
  ended: number;
  seconds: number;
  tokens: number;
  /** Tokens of prompts, and those of them that came from the cache. */
  prompt: number;
  cached: number;
  cost: number;
  /** Some of it has no known price. */
  unpriced: boolean;
}

const ENDED = new Set(['completed', 'failed', 'cancelled']);
const DAY = 86_400_000;
export const NO_AGENT = 'no agent file';

export function total(name: string, rows: readonly Worked[]): Total {
  const sum: Total = { name, runs: 0, completed: 0, ended: 0, seconds: 0, tokens: 0, prompt: 0, cached: 0, cost: 0, unpriced: false };
  for (const row of rows) {
    const { used } = row;
    sum.runs += row.runs;
    sum.completed += row.status === 'completed' ? row.runs : 0;
    sum.ended += ENDED.has(row.status) ? row.runs : 0;
    sum.seconds += ENDED.has(row.status) ? row.seconds : 0;
    const prompt = used.input_tokens + used.cache_read_tokens + used.cache_write_tokens;
    sum.tokens += prompt + used.output_tokens;
    sum.prompt += prompt;
    sum.cached += used.cache_read_tokens;
    sum.cost += used.cost_usd ?? 0;
    sum.unpriced ||= used.turns > 0 && used.cost_usd === null;
  }
  return sum;
}

/** One total for each value, the largest first. */
export function by(along: Along, rows: readonly Worked[]): Total[] {
  const groups = new Map<string, Worked[]>();
  for (const row of rows) {
    const name = row[along] || (along === 'agent' ? NO_AGENT : '?');
    groups.set(name, [...(groups.get(name) ?? []), row]);
  }
  const totals = [...groups].map(([name, group]) => total(name, group));
  return along === 'day' ? totals.sort((a, b) => a.name.localeCompare(b.name)) : totals.sort((a, b) => b.cost - a.cost || b.runs - a.runs);
}

/** A total for each of the last `days` days (UTC), the empty ones too. */
export function daily(rows: readonly Worked[], days: number, now: number): Total[] {
  const known = new Map(by('day', rows).map(one => [one.name, one]));
  return Array.from({ length: days }, (_, at) => {
    const name = new Date(now - (days - 1 - at) * DAY).toISOString().slice(0, 10);
    return known.get(name) ?? total(name, []);
  });
}

/** Share of the ended runs that were completed, 0 to 1; null where none has ended. */
export function success(sum: Total): number | null {
  return sum.ended ? sum.completed / sum.ended : null;
}
