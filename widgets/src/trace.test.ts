import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { AnyEvent } from './events';
import { NO_TRACE, Span, Trace, Tracing, tick, took } from './trace';

const DATA = fileURLToPath(new URL('../../tests/data/', import.meta.url));
const NAMES = readdirSync(DATA).filter(name => name.endsWith('.jsonl')).map(name => name.slice(0, -6));

function spansOf(name: string): readonly Span[] {
  const lines = readFileSync(`${DATA}${name}.jsonl`, 'utf8').trim().split('\n');
  return lines.map(line => JSON.parse(line) as AnyEvent).reduce<Trace>((trace, event) => {
    const next = new Tracing(trace);
    next.add(event);
    return next.done();
  }, NO_TRACE).spans;
}

function row({ usage, ...span }: Span): object {
  const tokens_in = usage ? usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens : 0;
  return { ...span, tokens_in, tokens_out: usage?.output_tokens ?? 0 };
}

describe.each(NAMES)('the recorded run %s', name => {
  it('gives the same spans as in Python', () => {
    expect(spansOf(name).map(row)).toEqual(JSON.parse(readFileSync(`${DATA}${name}.trace.json`, 'utf8')));
  });
});

describe('durations', () => {
  it('are written as people read them', () => {
    expect([3, 999, 1_500, 42_000, 95_000, 5_400_000].map(took)).toEqual(['3 ms', '999 ms', '1.5 s', '42 s', '1 min 35 s', '1 h 30 min']);
  });

  it('are divided at round numbers', () => {
    expect([4, 900, 12_000, 61_000].map(ms => tick(ms))).toEqual([1, 500, 5_000, 20_000]);
  });
});
