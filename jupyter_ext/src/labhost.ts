// JupyterLab (or Notebook 7) as the panel's host: folders, files, downloads, questions.
import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Dialog, showDialog } from '@jupyterlab/apputils';
import type { IDefaultFileBrowser } from '@jupyterlab/filebrowser';
import type { Contents } from '@jupyterlab/services';
import type { Widget } from '@lumino/widgets';
import type { Host, Place } from './host';
import { freeName, join, safeName } from './paths';

const MOST_BYTES = 50 * 1024 * 1024;

export class LabHost implements Host {
  constructor(
    private readonly app: JupyterFrontEnd,
    private readonly browser: IDefaultFileBrowser | null
  ) {}

  place(): Place {
    const path = pathOf(this.app.shell.currentWidget);
    return { folder: this.browser?.model.path.replace(/^[^/:]*:/, '') ?? '', notebook: path?.endsWith('.ipynb') ? path : null };
  }

  onPlace(listener: () => void): () => void {
    this.browser?.model.pathChanged.connect(listener);
    this.app.shell.currentChanged?.connect(listener);
    return () => {
      this.browser?.model.pathChanged.disconnect(listener);
      this.app.shell.currentChanged?.disconnect(listener);
    };
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

  async list(folder: string): Promise<string[]> {
    const found = await this.app.serviceManager.contents.get(folder, { content: true }).catch(() => null);
    const files = (found?.type === 'directory' ? found.content : []) as Contents.IModel[];
    const names = files.map(file => (file.type === 'directory' ? `${file.name}/` : file.name));
    return names.sort((a, b) => Number(b.endsWith('/')) - Number(a.endsWith('/')) || a.localeCompare(b));
  }

  async upload(folder: string, file: File): Promise<string> {
    if (file.size > MOST_BYTES) {
      throw new Error(`${file.name} is larger than ${MOST_BYTES >> 20} MB: upload it in the file browser, then name it with @.`);
    }
    const taken = new Set(await this.list(folder));
    const name = freeName(safeName(file.name), taken);
    const content = await base64(file);
    await this.app.serviceManager.contents.save(join(folder, name), { type: 'file', format: 'base64', name, content });
    return name;
  }

  async confirm(question: string, yes: string): Promise<boolean> {
    const { button } = await showDialog({ title: yes, body: question, buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: yes })] });
    return button.accept;
  }
}

function pathOf(widget: Widget | null): string | null {
  const context = (widget as { context?: { path?: string } } | null)?.context;
  return context?.path ?? null;
}

function base64(file: File): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).replace(/^[^,]*,/, ''));
    reader.onerror = () => reject(new Error(`${file.name} cannot be read: ${reader.error?.message ?? 'a folder, perhaps'}.`));
    reader.readAsDataURL(file);
  });
}
