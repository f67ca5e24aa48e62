import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { AnyEvent } from './events';
import { emptyRun, reduceAll } from './run';
import { cacheShare, fillers, fullness, nextTurnCost } from './window';

function recorded(name: string): AnyEvent[] {
  const path = fileURLToPath(new URL(`../../tests/data/${name}.jsonl`, import.meta.url));
  return readFileSync(path, 'utf8').trim().split('\n').map(line => JSON.parse(line) as AnyEvent);
}

describe('the window of a recorded run', () => {
  const run = reduceAll(emptyRun(), recorded('analysis'));

  it('is filled by as many tokens as the provider counted', () => {
    const parts = fillers(run);
    const sum = parts.reduce((total, part) => total + part.tokens, 0);
    expect(Math.abs(sum - fullness(run).used)).toBeLessThanOrEqual(parts.length);
    expect(fullness(run).used).toBeGreaterThan(0);
  });

  it('is divided by what the server knows of what stood before', () => {
    const last = run.turns[run.turns.length - 1]!;
    const full = { ...run, turns: [...run.turns.slice(0, -1), { ...last, context_tokens: 50_000 }] };
    const parts = fillers(full, { system: 100, tools: 300, skills: 0, earlier: 0 });
    const of = (name: string) => parts.find(part => part.of === name)?.tokens ?? 0;
    expect(of('before')).toBe(0);
    expect(of('tools') / of('system')).toBeCloseTo(3, 1);
    expect(of('system') + of('tools')).toBeCloseTo(fillers(full).find(part => part.of === 'before')!.tokens, -1);
  });

  it('says which share of the prompts came from the cache', () => {
    expect(cacheShare(run)).toBeCloseTo(
      run.usage.cache_read_tokens / (run.usage.input_tokens + run.usage.cache_read_tokens + run.usage.cache_write_tokens)
    );
  });
});

describe('the cost of one more turn', () => {
  const turns = (...costs: Array<number | null>) => ({
    ...emptyRun(),
    turns: costs.map(cost_usd => ({ cost_usd }) as ReturnType<typeof emptyRun>['turns'][number])
  });

  it('is that of the last three on average', () => {
    expect(nextTurnCost(turns(9, 1, 2, 3))).toBe(2);
  });

  it('is not known where a price is not', () => {
    expect(nextTurnCost(turns(1, null))).toBeNull();
    expect(nextTurnCost(emptyRun())).toBeNull();
  });
});
