import { expect, test } from 'vitest';
import { WIDGET, asks, holds, unfinished, unsaved } from './keep';

const meta = (status?: string) => ({ agent_kernel: { run_id: 'r1', ...(status ? { status } : {}) } });

test('a live view that was saved, and a run that had not ended, are unfinished', () => {
  expect(unfinished({ data: { [WIDGET]: {} }, metadata: meta() })).toBe('r1');
  expect(unfinished({ data: { 'text/html': '' }, metadata: meta('running') })).toBe('r1');
});

test('a whole transcript, one of an older version, and what is not ours are left alone', () => {
  expect(unfinished({ data: { 'text/html': '' }, metadata: meta('completed') })).toBe('');
  expect(unfinished({ data: { 'text/html': '' }, metadata: meta() })).toBe('');
  expect(unfinished({ data: { [WIDGET]: {} }, metadata: {} })).toBe('');
  expect(unfinished({ metadata: { agent_kernel: 'no' } as never })).toBe('');
});

test("a cell's newest run counts, if it began after the notebook was saved", () => {
  const run = (id: string, created_ms: number, cell?: string) => ({ id, created_ms, options: cell ? { cell } : {} });
  const found = unsaved([run('a', 5, 'x'), run('b', 9, 'x'), run('c', 2, 'y'), run('d', 9)], 3);
  expect([...found].map(([cell, one]) => [cell, one.id])).toEqual([['x', 'b']]);
});

test('a cell that asks for something else, and one that shows the run, get nothing', () => {
  expect(asks('%%agent --model demo\nChart @sales.csv', 'Chart sales.csv (attached)')).toBe(true);
  expect(asks('%agent What is this?', 'What is this?')).toBe(true);
  expect(asks('%%agent\nSomething else', 'What is this?')).toBe(false);
  expect(asks('', 'What is this?')).toBe(false);
  expect(holds({ data: { [WIDGET]: {} } }, 'r1')).toBe(true);
  expect(holds({ data: {}, metadata: meta('completed') }, 'r1')).toBe(true);
  expect(holds({ data: {}, metadata: meta('completed') }, 'r2')).toBe(false);
});
