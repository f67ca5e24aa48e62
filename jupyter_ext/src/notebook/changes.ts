// What agents changed in one open notebook, and what became of each change: open, accepted, rejected. A change is put
// back only while the cell is as the agent left it.
import type { ISharedCell, ISharedNotebook } from '@jupyter/ydoc';
import type * as nbformat from '@jupyterlab/nbformat';
import type { CellText, Operation } from './operations';
import { become, textsOf } from './model';
import { Shelf, keep } from './shelf';

export interface Change {
  run: string;
  /** The calls that made it: one cell changed by several is one change. */
  calls: string[];
  op: Operation['op'];
  cell: string;
  cell_type: string;
  before: string;
  after: string;
  /** The cell it stood behind before; '' for the first. */
  behind: string;
  /** The same after a move. */
  moved: string;
  /** The whole cell, where it is not in the notebook. */
  json: nbformat.ICell | null;
  state: 'open' | 'accepted' | 'rejected';
  /** Nothing of it is shown any more; an undo of the run still knows it. */
  closed: boolean;
}

const MOST_CHANGES = 200;
const MOST_STORED = 1_000_000;
const OPS: readonly unknown[] = ['insert', 'edit', 'delete', 'move'] satisfies Change['op'][];
const STATES: readonly unknown[] = ['open', 'accepted', 'rejected'] satisfies Change['state'][];
const TEXTS = ['run', 'cell', 'cell_type', 'before', 'after', 'behind', 'moved'] as const;

export class Changes {
  private list: Change[] = [];
  /** Calls that changed nothing one could put back here, such as running a cell. */
  private calls: string[] = [];
  private readonly listeners = new Set<() => void>();

  constructor(
    private readonly shared: ISharedNotebook,
    private readonly storage: Shelf,
    private key: string
  ) {
    try {
      const stored = storage.getItem(key);
      const kept = JSON.parse(stored ?? '{}') as { list?: unknown; calls?: unknown };
      const list = Array.isArray(kept.list) ? kept.list.filter(isChange).slice(-MOST_CHANGES) : [];
      this.list = list.filter(change => change.state !== 'open' || this.fits(change)).map(change => ({ ...change, closed: change.state !== 'open' }));
      this.calls = areTexts(kept.calls) ? kept.calls : [];
      if (stored !== null && stored.length < MOST_STORED) {
        keep(storage, key, stored); // it is used
      }
    } catch {
      // What cannot be read is forgotten: the diffs go, the notebook is as it is.
    }
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  readonly snapshot = (): readonly Change[] => this.list;

  /** The notebook has another name now. */
  rename(key: string): void {
    this.storage.removeItem(this.key);
    this.key = key;
    this.publish();
  }

  /** Cells as they are, by id; asked for before a change, so that what is deleted can come back. */
  content(ids: Iterable<string>): Map<string, nbformat.ICell> {
    const wanted = new Set(ids);
    return new Map(this.shared.cells.filter(cell => wanted.has(cell.id)).map(cell => [cell.id, jsonOf(cell)]));
  }

  /** Remember what a call did: `states` are the cells before and after each of its operations. */
  record(run: string, call: string, operations: readonly Operation[], states: ReadonlyArray<readonly CellText[]>, old: ReadonlyMap<string, nbformat.ICell>): void {
    operations.forEach((operation, number) => {
      this.add(changeOf(run, call, operation, states[number]!, states[number + 1]!, old));
    });
    this.publish();
  }

  ran(call: string): void {
    this.calls = [...this.calls.slice(-MOST_CHANGES), call];
    this.publish();
  }

  /** Whether the cell is as the agent left it, so that the change can be put back. */
  fits(change: Change): boolean {
    const cell = this.shared.cells.find(({ id }) => id === change.cell);
    return change.op === 'delete' ? !cell : cell?.getSource() === change.after;
  }

  accept(changes: readonly Change[]): void {
    this.settle(changes, 'accepted');
  }

  /** Put back what can be, in one step; the changes whose cells were edited since. */
  reject(changes: readonly Change[]): Change[] {
    const fitting = changes.filter(change => change.state !== 'rejected' && this.fits(change));
    this.rewrite([...fitting].reverse(), putBack);
    this.settle(fitting, 'rejected');
    return changes.filter(change => change.state !== 'rejected' && !fitting.includes(change));
  }

  /** Take decisions back: what was rejected is there again, what was accepted is open. */
  reopen(changes: readonly Change[]): void {
    const rejected = changes.filter(change => change.state === 'rejected' && this.isBack(change));
    this.rewrite(rejected, doneAgain);
    this.settle([...rejected, ...changes.filter(({ state }) => state === 'accepted')], 'open');
  }

  close(changes: readonly Change[]): void {
    const gone = new Set(changes);
    this.list = this.list.map(change => (gone.has(change) ? { ...change, closed: true } : change));
    this.publish();
  }

  /** Put back what these calls changed. `known`: all of them are; `skipped`: what a person edited since. */
  undo(calls: readonly string[]): { known: boolean; skipped: string[] } {
    const wanted = new Set(calls);
    const mine = this.list.filter(change => change.calls.some(call => wanted.has(call)));
    const known = new Set([...mine.flatMap(change => change.calls), ...this.calls]);
    if (!calls.every(call => known.has(call))) {
      return { known: false, skipped: [] };
    }
    const whole = mine.filter(change => change.calls.every(call => wanted.has(call)));
    const skipped = [...mine.filter(change => !whole.includes(change)), ...this.reject(whole)];
    return { known: true, skipped: skipped.map(({ cell }) => cell) };
  }

  private add(change: Change): void {
    const at = this.list.findIndex(({ cell, run, state }) => cell === change.cell && run === change.run && state === 'open');
    const earlier = this.list[at];
    if (!earlier || change.op === 'move' || earlier.op === 'move') {
      this.list = [...this.list.filter(({ cell, state }) => cell !== change.cell || state !== 'open' || change.op === 'move'), change];
    } else {
      const merged = joined(earlier, change);
      this.list = [...this.list.slice(0, at), ...(merged ? [merged] : []), ...this.list.slice(at + 1)];
      this.calls = merged ? this.calls : [...this.calls, ...earlier.calls, ...change.calls];
    }
    this.list = this.list.slice(-MOST_CHANGES);
  }

  /** Whether a change that was rejected could be made once more. */
  private isBack(change: Change): boolean {
    const cell = this.shared.cells.find(({ id }) => id === change.cell);
    return change.op === 'insert' ? !cell : cell?.getSource() === change.before;
  }

  private rewrite(changes: readonly Change[], step: (cells: readonly CellText[], change: Change) => readonly CellText[]): void {
    if (!changes.length) {
      return;
    }
    const leaving = this.content(changes.map(({ cell }) => cell));
    const known = new Map(changes.filter(({ json }) => json).map(({ cell, json }) => [cell, json!]));
    const moved = new Set(changes.filter(({ op }) => op === 'move').map(({ cell }) => cell));
    become(this.shared, changes.reduce(step, textsOf(this.shared)), moved, known);
    changes.forEach(change => (change.json = leaving.get(change.cell) ?? change.json));
  }

  private settle(changes: readonly Change[], state: Change['state']): void {
    const settled = new Set(changes);
    this.list = this.list.map(change => (settled.has(change) ? { ...change, state } : change));
    this.publish();
  }

  private publish(): void {
    const stored = JSON.stringify({ list: this.list, calls: this.calls });
    try {
      if ((this.list.length || this.calls.length) && stored.length < MOST_STORED) {
        keep(this.storage, this.key, stored);
      } else {
        this.storage.removeItem(this.key);
      }
    } catch {
      // A full storage: after a reload the bars are gone, the notebook is as it is.
    }
    this.listeners.forEach(listener => listener());
  }
}

/** What is stored may be broken, of another version or anybody's: only what is wholly a change is taken for one. */
function isChange(stored: unknown): stored is Change {
  const change = (stored ?? {}) as Partial<Record<keyof Change, unknown>>;
  const cell = change.json as { cell_type?: unknown } | null | undefined;
  const parts = TEXTS.every(name => typeof change[name] === 'string') && areTexts(change.calls);
  return parts && OPS.includes(change.op) && STATES.includes(change.state) && (cell === null || typeof cell?.cell_type === 'string');
}

function areTexts(stored: unknown): stored is string[] {
  return Array.isArray(stored) && stored.every(one => typeof one === 'string');
}

function changeOf(run: string, call: string, operation: Operation, before: readonly CellText[], after: readonly CellText[], old: ReadonlyMap<string, nbformat.ICell>): Change {
  const { op, cell } = operation;
  const was = before.find(({ id }) => id === cell);
  const is = after.find(({ id }) => id === cell);
  return {
    run,
    calls: [call],
    op,
    cell,
    cell_type: (was ?? is)!.cell_type,
    before: was?.source ?? '',
    after: is?.source ?? '',
    behind: behindOf(op === 'insert' ? after : before, cell),
    moved: behindOf(after, cell),
    json: op === 'delete' ? (old.get(cell) ?? null) : null,
    state: 'open',
    closed: false
  };
}

function behindOf(cells: readonly CellText[], id: string): string {
  const at = cells.findIndex(cell => cell.id === id);
  return at > 0 ? cells[at - 1]!.id : '';
}

/** Two changes of one cell by one run as one; null when nothing is left of them. */
function joined(earlier: Change, later: Change): Change | null {
  const calls = [...new Set([...earlier.calls, ...later.calls])];
  if (earlier.op === 'insert') {
    return later.op === 'delete' ? null : { ...earlier, calls, after: later.after };
  }
  return { ...later, calls, before: earlier.before, behind: later.op === 'delete' ? later.behind : earlier.behind };
}

function putBack(cells: readonly CellText[], change: Change): readonly CellText[] {
  switch (change.op) {
    case 'insert':
      return cells.filter(({ id }) => id !== change.cell);
    case 'edit':
      return cells.map(cell => (cell.id === change.cell ? { ...cell, source: change.before } : cell));
    case 'delete':
      return behind(cells, { id: change.cell, cell_type: change.cell_type, source: change.before }, change.behind);
    case 'move':
      return moved(cells, change.cell, change.behind);
  }
}

function doneAgain(cells: readonly CellText[], change: Change): readonly CellText[] {
  switch (change.op) {
    case 'insert':
      return behind(cells, { id: change.cell, cell_type: change.cell_type, source: change.after }, change.behind);
    case 'edit':
      return cells.map(cell => (cell.id === change.cell ? { ...cell, source: change.after } : cell));
    case 'delete':
      return cells.filter(({ id }) => id !== change.cell);
    case 'move':
      return moved(cells, change.cell, change.moved);
  }
}

function moved(cells: readonly CellText[], id: string, to: string): readonly CellText[] {
  const cell = cells.find(other => other.id === id);
  return cell ? behind(cells.filter(other => other !== cell), cell, to) : cells;
}

/** Behind the cell of that id; at the end when it is gone. */
function behind(cells: readonly CellText[], cell: CellText, id: string): readonly CellText[] {
  const at = id === '' ? 0 : cells.findIndex(other => other.id === id) + 1 || cells.length;
  return [...cells.slice(0, at), cell, ...cells.slice(at)];
}

function jsonOf(cell: ISharedCell): nbformat.ICell {
  return cell.toJSON() as nbformat.ICell;
}
