// A notebook's shared model: read for the model to see, and changed as operations say, in one step.
import type { ISharedCell, ISharedNotebook, SharedCell } from '@jupyter/ydoc';
import type * as nbformat from '@jupyterlab/nbformat';
import { CellText, Operation, apply } from './operations';

const MOST_TEXT = 40_000;
const MOST_IMAGES = 1_200_000;

export function textsOf(shared: ISharedNotebook): CellText[] {
  return shared.cells.map(cell => ({ id: cell.id, cell_type: cell.cell_type, source: cell.getSource() }));
}

/** The operations, all in order or none. Throws Refusal. What the cells were before each, and after.
 *
 * `hide` is told of Markdown cells before the agent's text comes into them: drawn at once, it could fetch pictures from
 * anywhere, and tell what it knows by their addresses. */
export function change(shared: ISharedNotebook, operations: readonly Operation[], hide: (cells: string[]) => void = () => undefined): Array<readonly CellText[]> {
  const states: Array<readonly CellText[]> = [textsOf(shared)];
  for (const operation of operations) {
    states.push(apply(states[states.length - 1]!, operation));
  }
  const moved = new Set(operations.filter(({ op }) => op === 'move').map(({ cell }) => cell));
  const [before, after] = [new Map(states[0]!.map(cell => [cell.id, cell.source])), states[states.length - 1]!];
  const drawn = new Set(after.filter(({ id, cell_type, source }) => cell_type === 'markdown' && before.get(id) !== source).map(({ id }) => id));
  become(shared, after.map(cell => (drawn.has(cell.id) ? { ...cell, source: before.get(cell.id) ?? '' } : cell)), moved);
  if (drawn.size) {
    hide([...drawn]);
    become(shared, after);
  }
  return states;
}

/** Bring the cells to be `wanted`, in one transaction. Cells that are not there yet come from `known`, or are new. */
export function become(
  shared: ISharedNotebook,
  wanted: readonly CellText[],
  moved: ReadonlySet<string> = new Set(),
  known: ReadonlyMap<string, nbformat.ICell> = new Map()
): void {
  const now = new Map<string, ISharedCell>(shared.cells.map(cell => [cell.id, cell]));
  const kept = new Set(wanted.map(({ id }) => id).filter(id => now.has(id) && !moved.has(id)));
  const content = new Map([...known, ...[...moved].filter(id => now.has(id)).map(id => [id, now.get(id)!.toJSON() as nbformat.ICell] as const)]);
  const ids = shared.cells.map(cell => cell.id);
  // Within a transaction the list of cells is the one before it: what is kept is taken from there, once.
  shared.transact(() => {
    for (let at = ids.length - 1; at >= 0; at--) {
      if (!kept.has(ids[at]!)) {
        shared.deleteCell(at);
      }
    }
    wanted.forEach((cell, at) => {
      if (kept.has(cell.id)) {
        write(now.get(cell.id)!, cell.source);
      } else {
        shared.insertCell(at, { ...(content.get(cell.id) ?? fresh(cell)), source: cell.source } as SharedCell.Cell);
      }
    });
  });
}

/** Only what differs is replaced, so that nobody's cursor moves who is elsewhere in the text. */
function write(cell: ISharedCell, source: string): void {
  const old = cell.getSource();
  if (old === source) {
    return;
  }
  const most = Math.min(old.length, source.length);
  let head = 0;
  while (head < most && old[head] === source[head]) {
    head++;
  }
  let tail = 0;
  while (tail < most - head && old[old.length - 1 - tail] === source[source.length - 1 - tail]) {
    tail++;
  }
  cell.updateSource(head, old.length - tail, source.slice(head, source.length - tail));
}

/** Never with outputs, so that nothing arrives that a person would have to trust. */
function fresh({ id, cell_type }: CellText): object {
  return { id, cell_type, metadata: {}, ...(cell_type === 'code' ? { execution_count: null, outputs: [] } : {}) };
}

/** What the model is shown of: outputs without their bulk, pictures of the cells that are named. */
export function brief(shared: ISharedNotebook, named: ReadonlySet<string>): object {
  let room = MOST_IMAGES;
  const shorter = (value: unknown, image: boolean): unknown => {
    const text = Array.isArray(value) ? value.join('') : value;
    if (typeof text !== 'string') {
      return `${JSON.stringify(text)}`.slice(0, MOST_TEXT);
    }
    if (image) {
      room -= text.length;
      return room >= 0 ? text : '';
    }
    return text.length > MOST_TEXT ? `${text.slice(0, MOST_TEXT / 2)}\n…\n${text.slice(-MOST_TEXT / 2)}` : text;
  };
  const cells = shared.cells.map(cell => {
    const { attachments, ...json } = cell.toJSON() as nbformat.ICell & { attachments?: unknown };
    const outputs = (json.outputs as nbformat.IOutput[] | undefined)?.map(output => shortened(output, named.has(cell.id), shorter));
    return { ...json, metadata: {}, ...(outputs ? { outputs } : {}) };
  });
  const { kernelspec } = shared.metadata;
  return { nbformat: shared.nbformat, nbformat_minor: Math.max(5, shared.nbformat_minor), metadata: kernelspec ? { kernelspec } : {}, cells };
}

function shortened(output: nbformat.IOutput, named: boolean, shorter: (value: unknown, image: boolean) => unknown): object {
  if (output.output_type === 'stream') {
    return { ...output, text: shorter(output.text, false) };
  }
  if (output.output_type === 'error') {
    return { ...output, evalue: shorter(output.evalue, false), traceback: [shorter((output.traceback as string[]).join('\n'), false)] };
  }
  const forms = Object.entries((output.data ?? {}) as Record<string, unknown>);
  const data = forms
    .filter(([mime]) => !mime.startsWith('application/vnd.'))
    .map(([mime, value]) => {
      const image = mime.startsWith('image/');
      return [mime, image && !named ? 'left out' : shorter(value, image)];
    });
  return { ...output, metadata: {}, data: Object.fromEntries(data) };
}
