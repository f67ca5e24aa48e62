import { YNotebook } from '@jupyter/ydoc';
import type { ICell } from '@jupyterlab/nbformat';
import { beforeEach, describe, expect, it } from 'vitest';
import { Changes } from './changes';
import { digest } from './digest';
import { change, textsOf } from './model';
import type { CellText, Operation } from './operations';
import { PREFIX, Shelf } from './shelf';

const kept = new Map<string, string>();
const storage: Shelf = {
  get length() {
    return kept.size;
  },
  key: at => [...kept.keys()][at] ?? null,
  getItem: key => kept.get(key) ?? null,
  setItem: (key, value) => void kept.set(key, value),
  removeItem: key => void kept.delete(key)
};
let shared: YNotebook;
let changes: Changes;

function done(call: string, ...operations: Operation[]): void {
  const old = changes.content(operations.map(({ cell }) => cell));
  changes.record('r', call, operations, change(shared, operations), old);
}

const said = (): string => textsOf(shared).map(({ id, source }) => `${id}:${source}`).join(' ');
const edit = (cell: string, seen: string, source: string): Operation => ({ op: 'edit', cell, expected: digest(seen), source });
const type = (cell: string, text: string): void => shared.cells.find(({ id }) => id === cell)!.setSource(text);

const changesOf = (notebook: string): Changes => new Changes(shared, storage, PREFIX + notebook);
const notebooks = (): string[] => [...kept.keys()].filter(key => key.startsWith(PREFIX)).map(key => key.slice(PREFIX.length)).sort((a, b) => +a - +b);

/** What a cell that is put in says of itself. */
function inserted(source: string): [Operation[], ReadonlyArray<readonly CellText[]>, Map<string, ICell>] {
  const cell = { id: 'a', cell_type: 'code', source };
  type('a', source);
  return [[{ op: 'insert', cell: 'a', source, after: null }], [[], [cell]], new Map<string, ICell>()];
}

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

  it('leave room for everybody else: those of the notebooks used last are kept', () => {
    const large = 'x'.repeat(600_000);
    kept.set('of another extension', large);
    ['1', '2', '3'].forEach(name => changesOf(name).record('r', '1', ...inserted(large)));
    expect(changesOf('1').snapshot()).toHaveLength(1);
    changesOf('4').record('r', '1', ...inserted(large));
    expect(notebooks()).toEqual(['1', '3', '4']);
    expect(kept.get('of another extension')).toBe(large);
  });

  it('that an earlier version left without saying when are the first to go', () => {
    Array.from({ length: 6 }, (_, number) => kept.set(`${PREFIX}old${number}`, 'x'.repeat(700_000)));
    changesOf('new').record('r', '1', ...inserted('x'.repeat(900_000)));
    expect(notebooks()).toHaveLength(2);
    expect(notebooks()).toContain('new');
  });

  it('are kept of so many notebooks that their order stays small', () => {
    Array.from({ length: 300 }, (_, number) => changesOf(`${number}`).record('r', '1', ...inserted('x')));
    expect(notebooks()).toEqual(Array.from({ length: 200 }, (_, number) => `${number + 100}`));
  });

  it.each(['no', 'null', '5', '{}', '[1, null, {}, "length"]', `["${PREFIX}gone"]`])('are kept where the order of use is %s', order => {
    kept.set(PREFIX.slice(0, -1), order);
    changesOf('1').record('r', '1', ...inserted('x'));
    changesOf('2').record('r', '1', ...inserted('x'));
    expect(notebooks()).toEqual(['1', '2']);
    expect(JSON.parse(kept.get(PREFIX.slice(0, -1))!)).toEqual([`${PREFIX}1`, `${PREFIX}2`]);
  });

  it.each([
    ['no'],
    ['null'],
    ['{"list": "all", "calls": 5}'],
    ['{"list": [null, 5, {}, {"state": "accepted"}], "calls": [null]}'],
    ['{"list": [{"run": "r", "calls": "1", "op": "edit", "cell": "a", "cell_type": "code", "before": "", "after": "a", "behind": "", "moved": "", "json": null, "state": "open"}]}']
  ])('that are stored as %s are none, and harm none', stored => {
    kept.set('k', stored);
    const read = new Changes(shared, storage, 'k');
    expect(read.snapshot()).toEqual([]);
    expect(read.undo(['1'])).toEqual({ known: false, skipped: [] });
    read.ran('1');
    expect(new Changes(shared, storage, 'k').undo(['1']).known).toBe(true);
  });

  it('stay where something far too large stands under the name of another notebook', () => {
    changesOf('1').record('r', '1', ...inserted('x'));
    kept.set(`${PREFIX}2`, JSON.stringify('x'.repeat(4_000_000)));
    changesOf('2');
    changesOf('3').record('r', '1', ...inserted('x'));
    expect(notebooks()).toEqual(['1', '3']);
  });

  it('are shown also where the browser has no room for them', () => {
    const full = { ...storage, setItem: () => { throw new Error('QuotaExceededError'); } };
    const shown = new Changes(shared, full, 'k');
    shown.record('r', '1', ...inserted('x'));
    expect(shown.snapshot()).toHaveLength(1);
  });
});
