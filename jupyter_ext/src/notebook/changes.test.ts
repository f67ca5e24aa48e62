import { YNotebook } from '@jupyter/ydoc';
import { beforeEach, describe, expect, it } from 'vitest';
import { Changes } from './changes';
import { digest } from './digest';
import { change, textsOf } from './model';
import type { Operation } from './operations';

const kept = new Map<string, string>();
const storage = { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, value: string) => void kept.set(key, value), removeItem: (key: string) => void kept.delete(key) };
let shared: YNotebook;
let changes: Changes;

function done(call: string, ...operations: Operation[]): void {
  const old = changes.content(operations.map(({ cell }) => cell));
  changes.record('r', call, operations, change(shared, operations), old);
}

const said = (): string => textsOf(shared).map(({ id, source }) => `${id}:${source}`).join(' ');
const edit = (cell: string, seen: string, source: string): Operation => ({ op: 'edit', cell, expected: digest(seen), source });
const type = (cell: string, text: string): void => shared.cells.find(({ id }) => id === cell)!.setSource(text);

beforeEach(() => {
  kept.clear();
  shared = new YNotebook();
  const outputs = [{ output_type: 'stream', name: 'stdout', text: 'out' }];
  shared.fromJSON({ nbformat: 4, nbformat_minor: 5, metadata: {}, cells: ['a', 'b', 'c'].map(id => ({ id, cell_type: 'code', source: id, metadata: {}, execution_count: 1, outputs })) });
  changes = new Changes(shared, storage, 'k');
});

describe('changes of a run', () => {
  it('are put back cell by cell, also what was deleted, with its outputs', () => {
    done('1', edit('a', 'a', 'A'), { op: 'insert', cell: 'n', source: 'new', after: 'a' }, { op: 'delete', cell: 'b', expected: digest('b') });
    expect(said()).toBe('a:A n:new c:c');
    expect(changes.reject(changes.snapshot())).toEqual([]);
    expect(said()).toBe('a:a b:b c:c');
    expect(shared.cells[1]!.toJSON()).toMatchObject({ outputs: [{ text: 'out' }] });
    changes.reopen(changes.snapshot());
    expect(said()).toBe('a:A n:new c:c');
    expect(changes.snapshot().map(({ state }) => state)).toEqual(['open', 'open', 'open']);
  });

  it('of one cell are one change, and an inserted cell that is deleted again is none', () => {
    done('1', edit('a', 'a', 'A'), { op: 'insert', cell: 'n', source: 'x', after: null });
    done('2', edit('a', 'A', 'AA'), edit('n', 'x', 'y'));
    expect(changes.snapshot().map(({ op, before, after }) => [op, before, after])).toEqual([['edit', 'a', 'AA'], ['insert', '', 'y']]);
    done('3', { op: 'delete', cell: 'n', expected: digest('y') });
    expect(changes.snapshot().map(({ cell }) => cell)).toEqual(['a']);
    expect(changes.undo(['1', '2', '3'])).toEqual({ known: true, skipped: [] });
    expect(said()).toBe('a:a b:b c:c');
  });

  it('are not put back over what a person has typed', () => {
    done('1', edit('a', 'a', 'A'), edit('b', 'b', 'B'));
    type('a', 'mine');
    expect(changes.undo(['1'])).toEqual({ known: true, skipped: ['a'] });
    expect(said()).toBe('a:mine b:b c:c');
  });

  it('move back where they were', () => {
    done('1', { op: 'move', cell: 'a', expected: digest('a'), after: 'c' });
    expect(said()).toBe('b:b c:c a:a');
    changes.reject(changes.snapshot());
    expect(said()).toBe('a:a b:b c:c');
  });

  it('outlive a reload, as far as the notebook still shows them', () => {
    done('1', edit('a', 'a', 'A'), edit('b', 'b', 'B'));
    type('b', 'mine');
    expect(new Changes(shared, storage, 'k').snapshot().map(({ cell }) => cell)).toEqual(['a']);
  });

  it('that this page knows nothing of are left to the file', () => {
    changes.ran('0');
    done('1', edit('a', 'a', 'A'));
    expect(changes.undo(['1', 'other'])).toEqual({ known: false, skipped: [] });
    expect(said()).toBe('a:A b:b c:c');
    expect(changes.undo(['0', '1']).known).toBe(true);
  });
});
