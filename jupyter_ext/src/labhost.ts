// JupyterLab (or Notebook 7) as the panel's host: folders, files, downloads, questions.
import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Dialog, showDialog } from '@jupyterlab/apputils';
import type { IDefaultFileBrowser } from '@jupyterlab/filebrowser';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { Contents } from '@jupyterlab/services';
import { visible } from '../../widgets/src/views/plain';
import { namesIn } from './commands';
import type { Host, Place } from './host';
import { Variable, described, hasPython, variablesOf } from './notebook/kernel';
import { freeName, join, nameOf, safeName } from './paths';

const MOST_BYTES = 50 * 1024 * 1024;

export class LabHost implements Host {
  private uploads: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly app: JupyterFrontEnd,
    private readonly browser: IDefaultFileBrowser | null,
    private readonly tracker: INotebookTracker | null
  ) {}

  place(): Place {
    const folder = this.browser?.model.path.replace(/^[^/:]*:/, '') ?? '';
    const panel = this.notebook();
    return { folder, notebook: panel && this.pathOf(panel), kernel: !!panel && hasPython(panel) };
  }

  onPlace(listener: () => void): () => void {
    const watch = (_: unknown, panel: NotebookPanel): void => void panel.sessionContext.kernelChanged.connect(listener);
    this.tracker?.forEach(panel => watch(null, panel));
    this.tracker?.widgetAdded.connect(watch);
    this.browser?.model.pathChanged.connect(listener);
    this.app.shell.currentChanged?.connect(listener);
    return () => {
      this.tracker?.forEach(panel => panel.sessionContext.kernelChanged.disconnect(listener));
      this.tracker?.widgetAdded.disconnect(watch);
      this.browser?.model.pathChanged.disconnect(listener);
      this.app.shell.currentChanged?.disconnect(listener);
    };
  }

  async variables(): Promise<Variable[]> {
    const panel = this.notebook();
    const problem = panel && this.problem(panel);
    if (problem) {
      throw new Error(problem);
    }
    return panel ? variablesOf(panel) : [];
  }

  async describe(prompt: string, folder: string | null): Promise<string> {
    const panel = this.notebook();
    const names = panel ? namesIn(prompt) : [];
    if (!panel || !names.length) {
      return prompt;
    }
    const problem = this.problem(panel);
    if (!problem) {
      return described(panel, prompt);
    }
    const files = new Set((folder === null ? [] : await this.list(folder)).map(name => name.replace(/\/$/, '')));
    const name = names.find(named => !files.has(named));
    if (name) {
      throw new Error(`@${name}: ${problem} Nothing was sent. Should it stay as it is, write it in backticks.`);
    }
    return prompt;
  }

  open(path: string): void {
    if (this.app.commands.hasCommand('docmanager:open')) {
      void this.app.commands.execute('docmanager:open', { path });
    }
  }

  download(url: string): void {
    const link = document.createElement('a');
    link.href = url;
    link.download = '';
    document.body.append(link);
    link.click();
    link.remove();
  }

  list(folder: string): Promise<string[]> {
    return this.namesIn(folder).catch(() => []);
  }

  private async namesIn(folder: string): Promise<string[]> {
    const found = await this.app.serviceManager.contents.get(folder, { content: true });
    const files = (found.type === 'directory' ? found.content : []) as Contents.IModel[];
    const names = files.map(file => (file.type === 'directory' ? `${file.name}/` : file.name));
    return names.sort((a, b) => Number(b.endsWith('/')) - Number(a.endsWith('/')) || a.localeCompare(b));
  }

  async upload(folder: string, file: File): Promise<string> {
    if (file.size > MOST_BYTES) {
      throw new Error(`${file.name} is larger than ${MOST_BYTES >> 20} MB: upload it in the file browser, then name it with @.`);
    }
    // One after the other: a name is free until the file before is there.
    const uploaded = this.uploads.then(() => this.put(folder, file));
    this.uploads = uploaded.catch(() => undefined);
    return uploaded;
  }

  private async put(folder: string, file: File): Promise<string> {
    const taken = new Set(await this.namesIn(folder)); // what cannot be listed may hold a file of this name
    const name = freeName(safeName(file.name), taken);
    const content = await base64(file);
    await this.app.serviceManager.contents.save(join(folder, name), { type: 'file', format: 'base64', name, content });
    return name;
  }

  private notebook(): NotebookPanel | null {
    const { currentWidget } = this.app.shell;
    return currentWidget && this.tracker?.has(currentWidget) ? (currentWidget as NotebookPanel) : null;
  }

  /** Jupyter's own path, without the drive that jupyter-collaboration puts before it. */
  private pathOf(panel: NotebookPanel): string {
    return this.app.serviceManager.contents.localPath(panel.context.path);
  }

  /** Why the notebook's variables cannot be looked at just now, in a sentence; '' when they can. */
  private problem(panel: NotebookPanel): string {
    const name = visible(nameOf(this.pathOf(panel)));
    const kernel = panel.sessionContext.session?.kernel;
    if (!kernel) {
      return `${name} has no running kernel, so its variables are not there. Run a cell of it first.`;
    }
    if (!hasPython(panel)) {
      return `The kernel of ${name} is not Python, so its variables cannot be named.`;
    }
    return kernel.status === 'busy' ? `The kernel of ${name} is busy; its variables can be named when its cell has ended.` : '';
  }

  async confirm(question: string, yes: string): Promise<boolean> {
    const { button } = await showDialog({ title: yes, body: question, buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: yes })] });
    return button.accept;
  }
}

function base64(file: File): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).replace(/^[^,]*,/, ''));
    reader.onerror = () => reject(new Error(`${file.name} cannot be read: ${reader.error?.message ?? 'a folder, perhaps'}.`));
    reader.readAsDataURL(file);
  });
}
