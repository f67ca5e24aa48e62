// Changes to a notebook as data: the twin of agent_kernel/tools/notebook/operations.py. What either must do stands in
// tests/data/notebook_operations.json.
import { digest } from './digest';

export interface CellText {
  id: string;
  cell_type: string;
  source: string;
}

/** `cell` names the cell (of an insertion: the new one), `expected` is the digest of the source its author has seen,
 * `after` the cell it is put behind: '' puts it first, null last. */
export interface Operation {
  op: 'insert' | 'edit' | 'move' | 'delete';
  cell: string;
  expected?: string;
  source?: string;
  cell_type?: string;
  after?: string | null;
}

/** Nothing was changed; `message` and `hint` are for the model. */
export class Refusal extends Error {
  constructor(
    message: string,
    readonly hint = ''
  ) {
    super(message);
  }
}

/** The cell is not as its author has seen it. `source` is what it says now. */
export class Stale extends Refusal {
  constructor(
    readonly cell: string,
    readonly expected: string,
    readonly source: string
  ) {
    super(`Cell '${cell}' was changed since you read it (hash ${digest(source)}, not ${expected}).`);
  }
}

/** The cells after the operation; those it does not touch are the same objects. Throws Refusal, for a changed cell Stale. */
export function apply(cells: readonly CellText[], operation: Operation): readonly CellText[] {
  const { op, cell, source = '', after = null } = operation;
  if (op === 'insert') {
    if (cells.some(({ id }) => id === cell)) {
      throw new Refusal(`There is a cell '${cell}' already.`);
    }
    return placed(cells, { id: cell, cell_type: operation.cell_type ?? 'code', source }, after);
  }
  const old = unchanged(cells, cell, operation.expected ?? '');
  const rest = cells.filter(other => other !== old);
  if (op === 'delete') {
    return rest;
  }
  if (op === 'move') {
    if (after === cell) {
      throw new Refusal(`Cell '${cell}' cannot be moved behind itself.`);
    }
    return placed(rest, old, after);
  }
  if (old.source === source) {
    throw new Refusal(`Cell '${cell}' says exactly this already; nothing would change.`);
  }
  return cells.map(other => (other === old ? { ...old, source } : other));
}

/** The cell, if it is as its author has seen it. Throws Refusal or Stale. */
export function unchanged(cells: readonly CellText[], id: string, expected: string): CellText {
  const cell = cells[found(cells, id)]!;
  if (digest(cell.source) !== expected) {
    throw new Stale(id, expected, cell.source);
  }
  return cell;
}

function found(cells: readonly CellText[], id: string): number {
  const at = cells.findIndex(cell => cell.id === id);
  if (at < 0) {
    throw new Refusal(`There is no cell '${id}'.`, 'Read the notebook again to see its cells.');
  }
  return at;
}

function placed(cells: readonly CellText[], cell: CellText, after: string | null): CellText[] {
  const at = after === null ? cells.length : after ? found(cells, after) + 1 : 0;
  return [...cells.slice(0, at), cell, ...cells.slice(at)];
}
