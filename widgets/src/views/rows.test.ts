import { describe, expect, it } from 'vitest';
import { rowsBetween, rowsOf } from './rows';

describe('rows of a diff', () => {
  it('are coloured as what they are: a notebook by the kind of each cell', () => {
    const diff = '--- a/n.ipynb\n+++ b/n.ipynb\n@@ edited: code cell c1 @@\n-x = 1\n+x = 2\n@@ inserted: markdown cell c2 @@\n+# Why\n@@ metadata of the notebook @@\n+ "a": 1\n';
    expect(rowsOf({ diff, path: 'n.ipynb' }).map(({ kind, text, language }) => [kind, text, language])).toEqual([
      ['@', 'edited: code cell c1', 'python'],
      ['-', 'x = 1', 'python'],
      ['+', 'x = 2', 'python'],
      ['@', 'inserted: markdown cell c2', 'markdown'],
      ['+', '# Why', 'markdown'],
      ['@', 'metadata of the notebook', 'json'],
      ['+', ' "a": 1', 'json']
    ]);
  });

  it('keep the places of any other file', () => {
    const rows = rowsOf({ diff: '--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,2 @@\n-x\n\n+y', path: 'a.py' });
    expect(rows.map(row => row.text)).toEqual(['@@ -1,2 +1,2 @@', 'x', '', 'y']);
  });

  it('are made of two texts where there is no diff yet', () => {
    const rows = rowsBetween('x\ny\n', 'z', 'python');
    expect(rows.map(({ kind, text }) => kind + text)).toEqual(['-x', '-y', '+z']);
    expect(rowsBetween('x', '', '')).toHaveLength(1);
  });
});
