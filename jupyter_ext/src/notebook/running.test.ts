import { YNotebook } from '@jupyter/ydoc';
import type { NotebookPanel } from '@jupyterlab/notebook';
import { expect, test, vi } from 'vitest';
import { digest } from './digest';
import { askKernel } from './kernel';
import { runCells } from './running';

const run = vi.hoisted(() => vi.fn(async (_: unknown, cells: Array<{ model: { id: string } }>) => void (await ran(cells[0]!.model.id))));
let ran: (cell: string) => unknown = () => undefined;
vi.mock('@jupyterlab/notebook', () => ({ NotebookActions: { runCells: run } })); // JupyterLab's own, which needs a browser

const NEVER = new AbortController().signal;

/** A notebook of two cells whose kernel has `status`. */
function opened(status = 'idle') {
  const shared = new YNotebook();
  shared.fromJSON({ nbformat: 4, nbformat_minor: 5, metadata: {}, cells: ['a', 'b'].map(id => ({ id, cell_type: 'code', source: id, metadata: {}, execution_count: null, outputs: [] })) });
  const executed: string[] = [];
  const kernel = {
    status,
    info: Promise.resolve({ implementation: 'ipython', language_info: { name: 'python' } }),
    interrupt: async () => undefined,
    requestExecute: ({ user_expressions }: { user_expressions: { answer: string } }) => {
      executed.push(user_expressions.answer);
      return { done: Promise.resolve({ content: { user_expressions: { answer: { status: 'ok', data: { 'application/json': {} } } } } }) };
    }
  };
  const widgets = ['a', 'b'].map(id => ({ model: { id, type: 'raw' } }));
  const panel = { model: { sharedModel: shared }, content: { widgets }, sessionContext: { session: { kernel } } } as unknown as NotebookPanel;
  const type = (at: number, source: string): void => shared.cells[at]!.setSource(source);
  return { panel, kernel, executed, type };
}

const BOTH = [
  { cell: 'a', expected: digest('a') },
  { cell: 'b', expected: digest('b') }
];

test('a cell that is changed while the ones before it run is not run', async () => {
  const { panel, type } = opened();
  ran = cell => cell === 'a' && type(1, 'rm -rf /');
  const { ran: done, problem } = await runCells(panel, BOTH, 60, NEVER);
  expect(done).toEqual(['a']);
  expect(problem).toContain("Cell 'b' was changed since you read it");
});

test('a cell that is changed while the kernel is waited for is not run', async () => {
  const { panel, kernel, type } = opened('busy');
  ran = () => undefined;
  run.mockClear();
  const running = runCells(panel, BOTH, 60, NEVER);
  type(0, 'something else');
  kernel.status = 'idle';
  await expect(running).rejects.toThrow("Cell 'a' was changed");
  expect(run).not.toHaveBeenCalled();
});

test('a kernel that was interrupted before it had begun is interrupted again, and when the cell has ended no more', async () => {
  vi.useFakeTimers();
  const { panel, kernel } = opened();
  const ending = new AbortController();
  let interrupts = 0;
  ran = () => new Promise<void>(resolve => (kernel.interrupt = async () => void (++interrupts === 2 && resolve())));
  const running = runCells(panel, BOTH, 600, ending.signal);
  kernel.status = 'busy';
  await vi.advanceTimersByTimeAsync(100);
  ending.abort();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(await running).toEqual({ ran: ['a'], problem: 'the run was stopped' });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(interrupts).toBe(2);
  vi.useRealTimers();
});

test('a cell that has long begun is interrupted once: it may be putting away what it has', async () => {
  vi.useFakeTimers();
  const { panel, kernel } = opened();
  const ending = new AbortController();
  let interrupts = 0;
  ran = () => new Promise<void>(resolve => (kernel.interrupt = async () => void (interrupts++, setTimeout(resolve, 30_000))));
  const running = runCells(panel, BOTH, 600, ending.signal);
  kernel.status = 'busy';
  await vi.advanceTimersByTimeAsync(20_000);
  ending.abort();
  await vi.advanceTimersByTimeAsync(60_000);
  expect((await running).ran).toEqual(['a']);
  expect(interrupts).toBe(1);
  vi.useRealTimers();
});

test('what a run asks of a kernel is not done once the run was stopped while the kernel was waited for', async () => {
  const { panel, kernel, executed } = opened('busy');
  const ending = new AbortController();
  const asked = askKernel(panel, { do: 'run' }, ending.signal);
  ending.abort();
  kernel.status = 'idle';
  await expect(asked).rejects.toThrow('stopped');
  expect(executed).toEqual([]);
});
