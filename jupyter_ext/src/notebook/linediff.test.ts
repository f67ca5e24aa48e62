import { describe, expect, it } from 'vitest';
import { lineDiff } from './linediff';

const said = (before: string, after: string): string[] => lineDiff(before, after, 1).map(({ kind, text }) => kind + text);

describe('the diff of a cell', () => {
  it('shows what was removed and added, with what stands around it', () => {
    expect(said('a\nb\nc\nd\ne', 'a\nb\nC\nd\ne')).toEqual(['…', ' b', '-c', '+C', ' d', '…']);
    expect(said('a\nb', 'a\nx\nb\ny')).toEqual([' a', '+x', ' b', '+y']);
  });
  it('of a new cell and of one that is gone is one-sided', () => {
    expect(said('', 'a\nb\n')).toEqual(['+a', '+b']);
    expect(said('a', '')).toEqual(['-a']);
  });
  it('of large texts is made at once', () => {
    const many = (word: string): string => Array.from({ length: 5_000 }, (_, n) => `${word} ${n}`).join('\n');
    expect(said(many('x'), many('y')).length).toBe(10_000);
  });
});
