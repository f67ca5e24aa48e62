// A transcript that is open as a notebook can be told again: with all its events, and to go on from, where its run is known.
import type { JupyterFrontEnd } from '@jupyterlab/application';
import { ToolbarButton } from '@jupyterlab/ui-components';
import type { Widget } from '@lumino/widgets';
import { CellList, cellReplay } from './CellReplay';
import { Refused } from './api';
import type { Hub } from './hub';
import { logo } from './icon';

interface Transcript extends Widget {
  context: { ready: Promise<void>; model: { getMetadata?(key: string): unknown } };
  content: CellList;
  contentHeader?: { addWidget(widget: Widget): void };
  toolbar: { insertItem(index: number, name: string, item: Widget): boolean };
}

/** Beside the button that saves: further on, a narrow toolbar hides what does not fit. */
const PLACE = 1;

/** A button on each notebook that `agent-kernel` wrote. */
export function offerReplay(app: JupyterFrontEnd, hub: Hub, open: () => void): void {
  const known = new WeakSet<Widget>();
  const look = (): void => {
    for (const widget of app.shell.widgets('main')) {
      if (!known.has(widget) && isNotebook(widget)) {
        known.add(widget);
        void widget.context.ready.then(() => offer(widget, hub, open));
      }
    }
  };
  app.shell.currentChanged?.connect(look);
  void app.restored.then(look);
}

function offer(panel: Transcript, hub: Hub, open: () => void): void {
  const ours = panel.context.model.getMetadata?.('agent_kernel') as { run_id?: unknown } | undefined;
  const run = typeof ours?.run_id === 'string' ? ours.run_id : '';
  if (!run) {
    return;
  }
  let bar: Widget | null = null;
  const replay = async (): Promise<void> => {
    try {
      await hub.replay(run);
      open();
    } catch (error) {
      if (!(error instanceof Refused) || error.status !== 404 || !panel.contentHeader) {
        open();
        hub.say(error);
      } else if (!bar || bar.isDisposed) {
        bar = cellReplay(panel.content);
        panel.contentHeader.addWidget(bar);
      }
    }
  };
  const button = new ToolbarButton({ icon: logo, label: 'Replay', tooltip: 'Replay this run step by step, or go on from a step', onClick: () => void replay() });
  panel.toolbar.insertItem(PLACE, 'agent-kernel-replay', button);
}

function isNotebook(widget: Widget): widget is Transcript {
  const view = widget as unknown as Partial<Transcript>;
  return !!view.context && !!view.toolbar && !!view.content && 'activeCellIndex' in view.content;
}
