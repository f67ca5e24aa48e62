import { describe, expect, it } from 'vitest';
import type { Worked } from './api';
import { NO_AGENT, by, daily, success, total } from './usage';

function worked(day: string, model: string, status: string, runs: number, cost_usd: number | null = 1): Worked {
  const used = { turns: runs, input_tokens: 10, output_tokens: 5, cache_read_tokens: 80, cache_write_tokens: 5, cost_usd };
  return { day, model, agent: '', status, runs, seconds: 10 * runs, used };
}

const ROWS = [
  worked('2026-11-26', 'large', 'completed', 3, 2),
  worked('2026-11-26', 'large', 'failed', 1, null),
  worked('2026-11-24', 'small', 'running', 2, 0.5)
];

describe('usage', () => {
  it('counts success among what has ended, and says when a price is not known', () => {
    const sum = total('all', ROWS);
    expect([sum.runs, sum.ended, success(sum)]).toEqual([6, 4, 0.75]);
    expect([sum.seconds, sum.tokens, sum.cost, sum.unpriced]).toEqual([40, 300, 2.5, true]);
    expect(success(total('none', []))).toBeNull();
  });

  it('adds up by model, the dearest first, and names runs without an agent', () => {
    expect(by('model', ROWS).map(one => [one.name, one.runs])).toEqual([['large', 4], ['small', 2]]);
    expect(by('agent', ROWS).map(one => one.name)).toEqual([NO_AGENT]);
  });

  it('has a place for days on which nothing was done', () => {
    const days = daily(ROWS, 3, Date.UTC(2026, 10, 26, 12));
    expect(days.map(one => [one.name, one.runs])).toEqual([['2026-11-24', 2], ['2026-11-25', 0], ['2026-11-26', 4]]);
  });
});
