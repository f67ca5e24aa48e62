// Runs cells of an open notebook as the person would, one after the other, until one fails or nobody wants it any more.
import type { Cell, ICodeCellModel } from '@jupyterlab/cells';
import { NotebookActions, NotebookPanel } from '@jupyterlab/notebook';
import type { Kernel } from '@jupyterlab/services';
import { textsOf } from './model';
import { Refusal, unchanged } from './operations';

const PATIENCE = 3_000;
/** So long after it was asked a kernel may not have begun. */
const EARLY = 5_000;
const AGAIN = 3_000;
const MOST_AGAIN = 5;
const MAY_BE_OURS =
  'If this very conversation runs in a cell of it, that cell has to end first: use notebook_python, or ask the person to run the cells.';

export interface Ran {
  ran: string[];
  /** Why not all of them ran to their end; '' when they did. */
  problem: string;
}

/** Throws Refusal, for a cell that was changed since it was read Stale; then none was run. One that is changed while those
 * before it run is not run either: what was allowed is what was read. */
export async function runCells(panel: NotebookPanel, wanted: ReadonlyArray<{ cell: string; expected: string }>, seconds: number, ending: AbortSignal): Promise<Ran> {
  const shared = panel.model!.sharedModel;
  const check = (cells: typeof wanted): void => {
    const texts = textsOf(shared);
    cells.forEach(({ cell, expected }) => unchanged(texts, cell, expected));
  };
  check(wanted);
  const kernel = await idle(panel);
  check(wanted); // there was time to type
  let problem = '';
  const interrupt = interrupter(kernel);
  const stop = (why: string) => (): void => {
    problem ||= why;
    interrupt.begin();
  };
  const cancelled = stop('the run was stopped');
  ending.addEventListener('abort', cancelled);
  const late = setTimeout(stop(`it took longer than ${seconds} s and was interrupted`), seconds * 1000);
  const ran: string[] = [];
  try {
    for (const one of wanted) {
      const { cell } = one;
      const widget = panel.content.widgets.find(({ model }) => model.id === cell);
      if (problem || ending.aborted || !widget) {
        problem ||= widget ? 'the run was stopped' : `cell ${cell} is gone`;
        break;
      }
      try {
        check([one]);
      } catch (refusal) {
        problem = (refusal as Refusal).message;
        break;
      }
      ran.push(cell);
      interrupt.asked();
      await NotebookActions.runCells(panel.content, [widget], panel.sessionContext);
      if (failed(widget)) {
        problem ||= `cell ${cell} failed`;
      }
    }
  } finally {
    clearTimeout(late);
    interrupt.end();
    ending.removeEventListener('abort', cancelled);
  }
  return { ran, problem };
}

/** Interrupts what was just `asked` of a kernel. A kernel takes no notice of an interrupt that arrives a moment before it begins: one so
 * early is repeated until that has ended. Later ones are not: the code may be putting away what it has. */
export function interrupter(kernel: Kernel.IKernelConnection): { asked(): void; begin(): void; end(): void } {
  let since = Date.now();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const end = (): void => clearTimeout(timer);
  const interrupt = (left: number): void => {
    end();
    void kernel.interrupt().catch(() => undefined);
    timer = left ? setTimeout(() => kernel.status !== 'idle' && interrupt(left - 1), AGAIN) : undefined;
  };
  return { asked: () => void (since = Date.now()), begin: () => interrupt(Date.now() - since < EARLY ? MOST_AGAIN : 0), end };
}

/** The notebook's kernel, once it has nothing else to do. Throws Refusal. */
export async function idle(panel: NotebookPanel, patience = PATIENCE, hint = MAY_BE_OURS): Promise<Kernel.IKernelConnection> {
  const kernel = panel.sessionContext.session?.kernel;
  if (!kernel) {
    throw new Refusal('The notebook has no kernel.', 'Ask the person to choose one.');
  }
  for (let waited = 0; kernel.status !== 'idle'; waited += 100) {
    if (waited >= patience) {
      throw new Refusal(`The notebook's kernel is ${kernel.status}.`, hint);
    }
    await new Promise(resolve => setTimeout(resolve, 100));
  }
  return kernel;
}

export function failed(cell: Cell): boolean {
  return errorOf(cell) !== null;
}

/** The name and the text of the error that a cell shows. */
export function errorOf(cell: Cell): { name: string; text: string } | null {
  if (cell.model.type !== 'code') {
    return null;
  }
  const { outputs } = cell.model as ICodeCellModel;
  for (let at = 0; at < outputs.length; at++) {
    const output = outputs.get(at);
    if (output.type === 'error') {
      const { ename = '', evalue = '' } = output.toJSON() as { ename?: string; evalue?: string };
      return { name: String(ename), text: String(evalue) };
    }
  }
  return null;
}
