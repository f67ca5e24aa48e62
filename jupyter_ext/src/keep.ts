// Which cells of a notebook show less of their run than its log holds.
import { FINAL } from '../../widgets/src/run';

export const WIDGET = 'application/vnd.jupyter.widget-view+json';

/** What is needed of an output as the notebook keeps it. */
export interface Kept {
  data?: Record<string, unknown>;
  metadata?: Record<string, unknown>;
}

/** The run an output shows unfinished; '' when it is none of ours, or the whole of one. */
export function unfinished(output: Kept): string {
  const ours = output.metadata?.['agent_kernel'] as { run_id?: unknown; status?: unknown } | undefined;
  const run = typeof ours?.run_id === 'string' ? ours.run_id : '';
  const status = typeof ours?.status === 'string' ? ours.status : '';
  const live = WIDGET in (output.data ?? {});
  return live || (status && !FINAL.has(status)) ? run : '';
}

export interface Begun {
  id: string;
  created_ms: number;
  options: { cell?: string };
}

/** The newest run of each cell among those that began after the notebook was saved: it knows nothing of them. */
export function unsaved<Run extends Begun>(runs: readonly Run[], savedMs: number): Map<string, Run> {
  const found = new Map<string, Run>();
  for (const run of runs) {
    const cell = run.options.cell ?? '';
    const known = found.get(cell);
    if (cell && run.created_ms > savedMs && (!known || known.created_ms < run.created_ms)) {
      found.set(cell, run);
    }
  }
  return found;
}

/** Whether the cell, as it stands in the file, asks for this: expressions and files in a prompt were expanded. */
export function asks(source: string, prompt: string): boolean {
  const said = source.replace(/^\s*%%agent\b[^\n]*\n?/, '').trim();
  const head = said.split(/[{@\n]/)[0]!.trim();
  return (!!head && prompt.trimStart().startsWith(head)) || said.includes(prompt.trim().slice(0, 20));
}

/** Whether an output is the run's, or a live view that may be. */
export function holds(output: Kept, run: string): boolean {
  const ours = output.metadata?.['agent_kernel'] as { run_id?: unknown } | undefined;
  return ours?.run_id === run || WIDGET in (output.data ?? {});
}
