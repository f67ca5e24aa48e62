// The JupyterLab extension: the panel, its commands, its badge, its item in the status bar.
import { ILayoutRestorer, JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { IDefaultFileBrowser } from '@jupyterlab/filebrowser';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ServerConnection } from '@jupyterlab/services';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ReactWidget } from '@jupyterlab/ui-components';
import { createElement } from 'react';
import css from '../../widgets/src/style.css';
import { Guard } from './Guard';
import { Panel } from './Panel';
import { StatusItem } from './StatusItem';
import { Api } from './api';
import { FORMATS, download } from './carryout';
import { cells } from './cells';
import { Hub } from './hub';
import { logo } from './icon';
import { LabHost } from './labhost';
import { addToNotebooks } from './notebook';
import notebookCss from './notebook/notebook.css';
import panelCss from './panel.css';
import settingsCss from './settings.css';
import { Reconciler } from './reconcile';
import { offerReplay } from './transcripts';
import { askToNotify, tellOf } from './tell';

const ID = 'agent-kernel:panel';
const SELECTED = 'agent-kernel:selected';
const CATEGORY = 'Agent';

const plugin: JupyterFrontEndPlugin<void> = {
  id: ID,
  description: 'Runs of agents, live, beside the notebook.',
  autoStart: true,
  optional: [ICommandPalette, IDefaultFileBrowser, ILayoutRestorer, ISettingRegistry, IStatusBar, INotebookTracker],
  activate
};

export default [plugin, cells];

function activate(
  app: JupyterFrontEnd,
  palette: ICommandPalette | null,
  browser: IDefaultFileBrowser | null,
  restorer: ILayoutRestorer | null,
  registry: ISettingRegistry | null,
  status: IStatusBar | null,
  tracker: INotebookTracker | null
): void {
  addStyle();
  const kept = remembered();
  const hub = new Hub(new Api(app.serviceManager.serverSettings ?? ServerConnection.makeSettings()));
  const host = new LabHost(app, browser, tracker);
  const panel = ReactWidget.create(createElement(Guard, null, createElement(Panel, { hub, host })));
  panel.id = 'agent-kernel-panel';
  panel.addClass('agk-host');
  panel.title.icon = logo;
  panel.title.caption = 'Agent: runs and what they do';
  const wanted = { notifications: true };
  addPanel(app, panel, registry, wanted);
  restorer?.add(panel, panel.id);

  const open = (): void => app.shell.activateById(panel.id);
  tellOf(hub, () => wanted.notifications, run => (open(), void hub.select(run)));
  hub.subscribe(() => {
    const { waiting, selected } = hub.snapshot();
    const badge = waiting ? String(waiting) : '';
    if ((panel.title.dataset['agk-badge'] ?? '') !== badge) {
      panel.title.dataset = badge ? { 'agk-badge': badge } : {};
      document.body.style.setProperty('--agk-badge', `"${badge}"`);
      panel.title.caption = waiting ? `Agent: ${waiting} waiting for your answer` : 'Agent: runs and what they do';
    }
    remember(selected);
  });
  addCommands(app, hub, host, palette, open, wanted);
  offerReplay(app, hub, open);
  if (tracker) {
    addToNotebooks(app, hub, tracker, palette, open);
  }
  status?.registerStatusItem(`${ID}:status`, {
    item: ReactWidget.create(createElement(StatusItem, { hub, open })),
    align: 'left',
    rank: 900
  });
  void app.restored.then(async () => {
    await hub.start();
    new Reconciler(app, hub).start();
    if (kept && hub.row(kept) && !hub.snapshot().selected) {
      await hub.select(kept);
    }
  });
}

function addPanel(app: JupyterFrontEnd, panel: ReactWidget, registry: ISettingRegistry | null, wanted: { notifications: boolean }): void {
  let side = '';
  const place = (next: string): void => {
    if (next !== side) {
      side = next;
      app.shell.add(panel, next, { rank: 700 });
    }
  };
  if (!registry) {
    place('right');
    return;
  }
  const take = (settings: ISettingRegistry.ISettings): void => {
    wanted.notifications = settings.get('notifications').composite !== false;
    place(settings.get('side').composite === 'left' ? 'left' : 'right');
  };
  registry.load(ID).then(
    settings => {
      take(settings);
      settings.changed.connect(take);
    },
    () => place('right')
  );
}

function addCommands(app: JupyterFrontEnd, hub: Hub, host: LabHost, palette: ICommandPalette | null, open: () => void, wanted: { notifications: boolean }): void {
  const selected = (): string | null => hub.snapshot().selected ?? hub.snapshot().runs[0]?.id ?? null;
  const control = (action: 'pause' | 'resume' | 'cancel' | 'take-over' | 'hand-back') => async (): Promise<void> => {
    const run = selected();
    await (run ? hub.act(run, { kind: 'control', action }) : Promise.resolve());
  };
  const answer = (decision: 'allow' | 'deny') => async (): Promise<void> => {
    const run = hub.snapshot().runs.find(row => row.status === 'waiting')?.id ?? null;
    const asked = hub.fold(run)?.entries.find(entry => entry.kind === 'approval' && !entry.answer);
    if (run && asked?.kind === 'approval') {
      await hub.act(run, { kind: 'approve', id: asked.request.id, decision });
    }
  };
  const exported = (format: string) => (): void => {
    const row = hub.row(selected());
    if (row) {
      download(host, hub, row, format);
    } else {
      open();
      hub.say('There is no run to export yet.');
    }
  };
  const commands: Record<string, [string, () => unknown]> = {
    open: ['Open the Agent Panel', () => (open(), wanted.notifications && askToNotify())],
    new: ['Ask the Agent Something New', () => (open(), hub.select(null))],
    stop: ['Stop the Run', control('cancel')],
    pause: ['Pause the Run', control('pause')],
    resume: ['Resume the Run', control('resume')],
    allow: ['Allow Once What the Agent Asks For', answer('allow')],
    deny: ['Deny What the Agent Asks For', answer('deny')],
    replay: ['Replay the Run Step by Step', () => (open(), hub.replay(selected()).catch(hub.say))],
    ...Object.fromEntries(FORMATS.map(([format, kind]) => [`export-${format}`, [`Export Transcript as ${kind}`, exported(format)]]))
  };
  for (const [name, [label, execute]] of Object.entries(commands)) {
    const command = `agent-kernel:${name}`;
    app.commands.addCommand(command, { label, execute, ...(name === 'open' ? { icon: logo } : {}) });
    palette?.addItem({ command, category: CATEGORY });
  }
}

function addStyle(): void {
  const style = document.createElement('style');
  style.dataset['agkPanel'] = '';
  style.textContent = css + panelCss + settingsCss + notebookCss;
  document.head.append(style);
}

function remember(run: string | null): void {
  try {
    sessionStorage.setItem(SELECTED, run ?? '');
  } catch {
    // Without storage a reload begins at the list.
  }
}

function remembered(): string {
  try {
    return sessionStorage.getItem(SELECTED) ?? '';
  } catch {
    return '';
  }
}
