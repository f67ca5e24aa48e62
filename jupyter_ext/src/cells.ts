// Cells of the agent kernel: prompts are highlighted as Markdown, and those for Python as Python.
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import type { ISessionContext } from '@jupyterlab/apputils';
import type { ISignal } from '@lumino/signaling';
import type { Widget } from '@lumino/widgets';
import { mimeTypeOf } from './cellkind';

const KERNEL = 'agent';

// What is needed of JupyterLab's notebooks, which Notebook 7 has as well.
interface Cell {
  type: string;
  mimeType: string;
  sharedModel: { getSource(): string };
  contentChanged: ISignal<Cell, void>;
  mimeTypeChanged: ISignal<Cell, unknown>;
}
interface NotebookView {
  sessionContext: ISessionContext;
  content: { model: { cells: Iterable<Cell> & { changed: ISignal<unknown, unknown> } } | null; modelChanged: ISignal<unknown, unknown> };
}

export const cells: JupyterFrontEndPlugin<void> = {
  id: 'agent-kernel:cells',
  description: 'Highlights the cells of the agent kernel by what they are.',
  autoStart: true,
  activate(app: JupyterFrontEnd): void {
    const known = new WeakSet<Widget>();
    const look = (): void => {
      for (const widget of app.shell.widgets('main')) {
        const view = known.has(widget) ? null : notebook(widget);
        if (view) {
          known.add(widget);
          watch(view);
        }
      }
    };
    app.shell.currentChanged?.connect(look);
    void app.restored.then(look);
  }
};

function notebook(widget: Widget): NotebookView | null {
  const view = widget as unknown as Partial<NotebookView>;
  return view.sessionContext && view.content && 'activeCellIndex' in view.content ? (view as NotebookView) : null;
}

function watch(view: NotebookView): void {
  const ours = new WeakSet<Cell>();
  const isAgent = (): boolean => view.sessionContext.session?.kernel?.name === KERNEL;
  const paint = (cell: Cell): void => {
    const wanted = mimeTypeOf(cell.sharedModel.getSource());
    if (cell.type === 'code' && isAgent() && cell.mimeType !== wanted) {
      cell.mimeType = wanted;
    }
  };
  const all = (): void => {
    for (const cell of view.content.model?.cells ?? []) {
      paint(cell);
      if (!ours.has(cell)) {
        ours.add(cell);
        cell.contentChanged.connect(paint);
        cell.mimeTypeChanged.connect(paint); // the notebook sets all of them when it hears from the kernel
      }
    }
  };
  const model = (): void => {
    view.content.model?.cells.changed.connect(all);
    all();
  };
  view.content.modelChanged.connect(model);
  view.sessionContext.kernelChanged.connect(all);
  model();
}
