// Asks a notebook's own kernel what its variables are, and has it do what a run was allowed: silently, between two cells
// (agent_kernel/shell/beside.py).
import type { NotebookPanel } from '@jupyterlab/notebook';
import { oneLine } from '../../../widgets/src/views/plain';
import { Refusal } from './operations';
import { idle, interrupter } from './running';

export interface Variable {
  name: string;
  about: string;
}

interface Evaluated {
  status: string;
  data?: Record<string, unknown>;
  ename?: string;
  evalue?: string;
}

/** A look that somebody types for does not wait for a cell to end. */
const GLANCE = 300;
const INSTALL = 'Install agent-kernel in the environment of this kernel (%pip install agent-kernel), then try again.';

/** Whether the notebook has a kernel, and one that speaks Python as far as can be known without asking it. */
export function hasPython({ sessionContext }: NotebookPanel): boolean {
  const name = sessionContext.session?.kernel?.name;
  const language = name && sessionContext.specsManager.specs?.kernelspecs[name]?.language;
  return !!name && (name === 'agent' || !language || language === 'python');
}

export async function variablesOf(panel: NotebookPanel): Promise<Variable[]> {
  return (await askKernel<{ variables: Variable[] }>(panel, { do: 'offer' }, undefined, GLANCE)).variables;
}

/** The prompt as the agent gets it, with the variables that it names by `@` described below. Throws Refusal. */
export async function described(panel: NotebookPanel, prompt: string): Promise<string> {
  const said = await askKernel<{ prompt?: string; problem?: string; hint?: string }>(panel, { do: 'describe', prompt });
  if (said.prompt === undefined) {
    throw new Refusal(said.problem ?? 'The prompt could not be completed.', said.hint);
  }
  return said.prompt;
}

/** What the kernel answers; interrupted when `ending` says so. Throws Refusal. */
export async function askKernel<T>(panel: NotebookPanel, asked: object, ending?: AbortSignal, patience?: number): Promise<T> {
  const kernel = await idle(panel, patience, 'Try again when its cell has ended.');
  const { implementation, language_info } = await kernel.info;
  if (language_info.name !== 'python' && implementation !== 'agent-kernel') {
    throw new Refusal(`The notebook's kernel speaks ${oneLine(language_info.name, 40)}; only Python's variables can be reached.`);
  }
  if (ending?.aborted) {
    throw new Refusal('The run was stopped.'); // while the kernel was waited for
  }
  const question = JSON.stringify(JSON.stringify(asked)); // JSON's text in quotes is Python's
  const future = kernel.requestExecute({
    code: '',
    silent: true,
    store_history: false,
    allow_stdin: false,
    stop_on_error: false,
    user_expressions: { answer: `__import__('agent_kernel.shell.beside', fromlist=['answer']).answer(${question})` }
  });
  const interrupt = interrupter(kernel);
  ending?.addEventListener('abort', interrupt.begin);
  try {
    const { content } = await future.done.catch(() => {
      throw new Refusal("The notebook's kernel ended before it answered.", 'What it held is gone; ask the person.');
    });
    return read<T>((content as { user_expressions?: Record<string, unknown> }).user_expressions?.['answer'] as Evaluated | undefined);
  } finally {
    interrupt.end();
    ending?.removeEventListener('abort', interrupt.begin);
  }
}

function read<T>(evaluated: Evaluated | undefined): T {
  const said = evaluated?.data?.['application/json'];
  if (said === undefined) {
    const why = evaluated?.ename ? `${evaluated.ename}: ${evaluated.evalue ?? ''}` : 'it was interrupted';
    const missing = evaluated?.ename === 'ModuleNotFoundError';
    throw missing ? new Refusal("The notebook's kernel has no agent-kernel.", INSTALL) : new Refusal(`The notebook's kernel did not answer: ${oneLine(why, 200)}.`);
  }
  return said as T;
}
