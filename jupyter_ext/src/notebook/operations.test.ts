import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { digest } from './digest';
import { CellText, Operation, apply } from './operations';

interface Case {
  says: string;
  cells: Record<string, string>;
  operations: Operation[];
  gives?: Record<string, string>;
  refused?: string;
}

const CASES = JSON.parse(readFileSync(new URL('../../../tests/data/notebook_operations.json', import.meta.url), 'utf8')) as Case[];

describe('operations, as in Python', () => {
  it.each(CASES.map(one => [one.says, one] as const))('%s', (_, { cells, operations, gives, refused }) => {
    const given: CellText[] = Object.entries(cells).map(([id, source]) => ({ id, cell_type: 'markdown', source }));
    const before = JSON.stringify(given);
    const done = () => operations.reduce(apply, given as readonly CellText[]);
    if (refused) {
      expect(done).toThrow(refused);
    } else {
      expect(done().map(({ id, source }) => [id, source])).toEqual(Object.entries(gives!));
    }
    expect(JSON.stringify(given), 'what it was given stays as it is').toBe(before);
  });
});

describe('the digest', () => {
  it('is that of any length of text', () => {
    expect(['', 'a'.repeat(55), 'a'.repeat(56), 'a'.repeat(64), 'é'.repeat(1000), '\ud800'].map(digest)).toEqual([
      'e3b0c442', '9f4390f8', 'b35439a4', 'ffe054fe', '75628d88', '91a681b9'
    ]);
  });
});
