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
