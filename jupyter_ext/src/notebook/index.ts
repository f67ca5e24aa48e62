// The agent in notebooks that are open: answers for them, shows changes at their cells, starts runs about a cell.
import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { ICommandPalette } from '@jupyterlab/apputils';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { Hub } from '../hub';
import { logo } from '../icon';
import { folderOf, join, nameOf } from '../paths';
import { Board } from './board';
import { hasPython } from './kernel';
import { NotebookPages } from './pages';
import { Wish, promptOf } from './prompts';
import { errorOf } from './running';

export function addToNotebooks(app: JupyterFrontEnd, hub: Hub, tracker: INotebookTracker, palette: ICommandPalette | null, open: () => void): void {
  const boards = new Map<NotebookPanel, Board>();
  const pages: NotebookPages = new NotebookPages(app, hub.api, tracker, opened => {
    const { panel } = opened;
    boards.set(panel, new Board(opened, (wish, cell, said) => begin(panel, wish, cell, said)));
    panel.disposed.connect(() => boards.delete(panel));
  });
  hub.notebooks = pages;

  const begin = async (panel: NotebookPanel, wish: Wish, cell: string, said: string): Promise<void> => {
    open();
    try {
      const path = pages.pathOf(panel);
      const { defaults } = hub.snapshot();
      const widget = panel.content.widgets.find(({ model }) => model.id === cell);
      const error = widget ? errorOf(widget) : null;
      const notebook = join(defaults?.root ?? '', '/', path);
      const session = await hub.api.openSession({ workspace: folderOf(path) || '.', notebook, name: 'main' });
      await hub.begin(session.id, promptOf(wish, { notebook: nameOf(path), cell, error }, said), defaults?.ready === false ? { model: 'demo' } : {}, hasPython(panel) ? path : null);
    } catch (error) {
      hub.say(error);
    }
  };

  const active = (): { board: Board; panel: NotebookPanel; cell: string } | null => {
    const panel = tracker.currentWidget;
    const board = panel && boards.get(panel);
    const cell = panel?.content.activeCell?.model.id;
    return panel && board && cell ? { panel, board, cell } : null;
  };
  const failed = (): boolean => {
    const cell = tracker.currentWidget?.content.activeCell;
    return !!cell && errorOf(cell) !== null;
  };
  const wish = (what: Wish) => (): void => {
    const at = active();
    at?.board.begin(what, at.cell);
  };
  const commands: Record<string, [string, () => void, () => boolean]> = {
    'ask-cell': ['Ask Agent About This Cell', () => active()?.board.ask(active()!.cell), () => !!active()],
    'explain-error': ['Explain the Error of This Cell', wish('explain'), failed],
    'fix-error': ['Fix the Error of This Cell', wish('fix'), failed]
  };
  for (const [name, [label, execute, isEnabled]] of Object.entries(commands)) {
    const command = `agent-kernel:${name}`;
    app.commands.addCommand(command, { label, caption: label, execute, isEnabled, ...(name === 'ask-cell' ? { icon: logo } : {}) });
    palette?.addItem({ command, category: 'Agent' });
  }
}
