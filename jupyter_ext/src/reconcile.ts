// Cells whose run went on after their tab was closed, or their kernel died: the log is the truth, and they are given it.
// While such a run goes on it is seen live; the notebook holds how far it had come.
import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { ISessionContext } from '@jupyterlab/apputils';
import type { ISignal } from '@lumino/signaling';
import type { Widget } from '@lumino/widgets';
import { FINAL } from '../../widgets/src/run';
import { FollowingCell, follow } from './Following';
import { Refused, RunRow } from './api';
import type { Hub } from './hub';
import { Kept, WIDGET, asks, holds, unfinished, unsaved } from './keep';

/** A kernel that lives replaces its views itself, a moment after the run has ended. */
const GRACE = 3_000;

const ENDED = new Set(['dead', 'restarting', 'autorestarting']);

/** `opened`: views may still be on their way. `dead`: none will come from this kernel any more. */
type When = 'opened' | 'dead' | 'later';

interface Outputs {
  changed?: ISignal<unknown, unknown>;
  length: number;
  get(index: number): { metadata: Record<string, unknown>; toJSON(): unknown };
  set(index: number, output: unknown): void;
  add(output: unknown): unknown;
  clear(): void;
}
interface CellModel {
  type: string;
  id: string;
  sharedModel: { getSource(): string };
  outputs?: Outputs;
}
interface CellView extends FollowingCell {
  model: CellModel;
  inViewport?: boolean;
}
interface NotebookPanel extends Widget {
  sessionContext: ISessionContext;
  context: { path: string; ready: Promise<void>; model: { readOnly: boolean; cells: Iterable<CellModel>; collaborative?: boolean }; contentsModel: { last_modified?: string } | null };
  content: Widget & { widgets: readonly CellView[] };
}

export class Reconciler {
  private readonly known = new Set<NotebookPanel>();
  private readonly unknown = new Set<string>();
  /** The live views of runs without a kernel, by cell and run. */
  private readonly followed = new Map<string, Widget>();
  private ended = 0;
  private timer = 0;
  private working = Promise.resolve();

  constructor(
    private readonly app: JupyterFrontEnd,
    private readonly hub: Hub
  ) {}

  /** From when the runs are known. */
  start(): void {
    this.app.shell.currentChanged?.connect(() => this.look());
    this.hub.subscribe(() => {
      const ended = this.hub.snapshot().runs.filter(row => FINAL.has(row.status)).length;
      if (ended !== this.ended) {
        this.ended = ended;
        void (this.followed.size && this.settle('later'));
        this.soon();
      }
    });
    this.look();
  }

  private look(): void {
    for (const widget of this.app.shell.widgets('main')) {
      if (isNotebook(widget) && !this.known.has(widget)) {
        this.known.add(widget);
        widget.disposed.connect(() => this.known.delete(widget));
        void this.opened(widget);
      }
    }
  }

  private async opened(panel: NotebookPanel): Promise<void> {
    await panel.context.ready;
    (panel.sessionContext.statusChanged as ISignal<unknown, string>).connect((_, status) => {
      if (ENDED.has(status)) {
        void this.settle('dead');
      }
    });
    await this.addUnsaved(panel).catch(this.hub.say);
    await this.settle('opened');
    this.soon();
  }

  private soon(): void {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => void this.settle('later'), GRACE);
  }

  /** Runs that began after the file was last written: their cells hold nothing of them. */
  private async addUnsaved(panel: NotebookPanel): Promise<void> {
    const { sessions, defaults } = this.hub.snapshot();
    const place = `${(defaults?.root ?? '').replace(/\/+$/, '')}/${panel.context.path.replace(/^[^/:]*:/, '')}`;
    const saved = Date.parse(panel.context.contentsModel?.last_modified ?? '');
    const mine = [...sessions.values()].filter(session => session.notebook === place && session.updated_ms > saved);
    if (!Number.isFinite(saved) || panel.context.model.readOnly) {
      return;
    }
    for (const session of mine) {
      const runs = unsaved(await this.hub.api.runsOf(session.id), saved);
      for (const cell of panel.context.model.cells) {
        const run = runs.get(cell.id);
        const output = run && isMissing(cell, run) ? await this.output(run.id) : null;
        // Whoever ran the cell meanwhile has put something else there.
        if (run && output && cell.outputs && !panel.isDisposed && isMissing(cell, run)) {
          cell.outputs.clear();
          cell.outputs.add(output);
        }
      }
    }
  }

  /** One after the other, so that no output is asked for twice. */
  private settle(when: When): Promise<void> {
    this.working = this.working.then(async () => {
      for (const panel of this.known) {
        await this.settleIn(panel, when).catch(this.hub.say);
      }
    });
    return this.working;
  }

  private async settleIn(panel: NotebookPanel, when: When): Promise<void> {
    if (panel.isDisposed || panel.context.model.readOnly) {
      return;
    }
    for (const cell of panel.context.model.cells) {
      for (let index = 0; index < (cell.outputs?.length ?? 0); index++) {
        const ours = 'agent_kernel' in (cell.outputs!.get(index).metadata ?? {}); // most are not, and may be large
        const run = ours ? unfinished(kept(cell, index)) : '';
        const row = run && !this.unknown.has(run) ? await this.row(run) : null;
        if (row && (FINAL.has(row.status) || !this.isShown(panel, cell, index, when))) {
          await this.replace(panel, cell, index, row.id);
        }
        if (row && !FINAL.has(row.status)) {
          await this.follow(panel, cell, index, row);
        }
      }
    }
  }

  private async replace(panel: NotebookPanel, cell: CellModel, index: number, run: string): Promise<void> {
    const output = await this.output(run);
    if (panel.context.model.collaborative) {
      await new Promise(done => setTimeout(done, Math.random() * 1_500)); // somebody else's page does the same
    }
    // Whoever ran the cell meanwhile has put something else there.
    if (!panel.isDisposed && index < (cell.outputs?.length ?? 0) && unfinished(kept(cell, index)) === run) {
      cell.outputs!.set(index, output);
    }
  }

  /** Where nothing but what was kept of a run stands, it is seen live until the whole of it is there. */
  private async follow(panel: NotebookPanel, cell: CellModel, index: number, row: RunRow): Promise<void> {
    const key = `${panel.id} ${cell.id} ${row.id}`;
    const holds = (): boolean => index < (cell.outputs?.length ?? 0) && unfinished(kept(cell, index)) === row.id && !(WIDGET in (kept(cell, index).data ?? {}));
    const view = panel.content.widgets.find(one => one.model === cell);
    if (this.followed.has(key) || !view || !holds()) {
      return;
    }
    await this.hub.follow(row);
    if (!panel.isDisposed && !view.isDisposed && this.hub.fold(row.id) && holds()) {
      const live = follow(view, cell.outputs!, index, this.hub, row.id, holds);
      this.followed.set(key, live);
      live.disposed.connect(() => this.followed.delete(key));
    }
  }

  /** A run at work is seen live where its kernel lives, or stands there as far as it had come. */
  private isShown(panel: NotebookPanel, cell: CellModel, index: number, when: When): boolean {
    if (when === 'opened' || !(WIDGET in (kept(cell, index).data ?? {}))) {
      return true;
    }
    if (ENDED.has(panel.sessionContext.session?.kernel?.status ?? '')) {
      return false;
    }
    const view = panel.content.widgets.find(one => one.model === cell);
    const drawn = !!view && view.inViewport !== false;
    return !drawn || !!view.node.querySelector('.agk');
  }

  private async output(run: string): Promise<Kept> {
    return { output_type: 'display_data', ...(await this.hub.api.output(run)) } as Kept;
  }

  /** The run, if it is this person's. */
  private async row(run: string): Promise<RunRow | null> {
    const listed = this.hub.snapshot().runs.find(row => row.id === run);
    try {
      return listed ?? (await this.hub.api.run(run));
    } catch (error) {
      if (error instanceof Refused && error.status === 404) {
        this.unknown.add(run);
      }
      return null;
    }
  }
}

function kept(cell: CellModel, index: number): Kept {
  return cell.outputs!.get(index).toJSON() as Kept;
}

function isMissing(cell: CellModel, run: RunRow): boolean {
  const outputs = Array.from({ length: cell.outputs?.length ?? 0 }, (_, index) => kept(cell, index));
  return asks(cell.sharedModel.getSource(), run.prompt) && !outputs.some(output => holds(output, run.id));
}

function isNotebook(widget: Widget): widget is NotebookPanel {
  const view = widget as unknown as Partial<NotebookPanel>;
  return !!view.sessionContext && !!view.context && !!view.content && 'activeCellIndex' in view.content;
}
