// Workspaces over REST: what they are, their files, and uploads that go on where they broke off.
import type { Api, Session } from './api';
import { Refused } from './api';

export interface Workspace extends Session {
  provider: string;
  /** running, stopped, archived, gone; at Daytona also what the service says. */
  state: string;
  here: boolean;
  /** -1 where nobody counted. */
  folder_bytes: number;
  sandbox_bytes: number;
}

export interface FileEntry {
  name: string;
  kind: 'file' | 'dir' | 'symlink' | 'other';
  size: number;
  modified_ms: number;
}

export interface Template {
  name: string;
  about: string;
}

export const PIECE = 8 << 20;
const TRIES = 5;

export class WorkspaceApi {
  constructor(private readonly api: Api) {}

  list = async (): Promise<Workspace[]> => (await this.api.call<{ workspaces: Workspace[] }>('workspaces?limit=100', {})).workspaces;

  show = (id: string): Promise<Workspace> => this.api.call(`workspaces/${id}`, {});

  act = (id: string, action: 'start' | 'stop' | 'archive'): Promise<Workspace> => this.api.call(`workspaces/${id}/${action}`, { method: 'POST', body: '{}' });

  remove = (id: string, force: boolean): Promise<unknown> => this.api.call(`workspaces/${id}${force ? '?force=1' : ''}`, { method: 'DELETE' });

  templates = async (): Promise<Template[]> => (await this.api.call<{ templates: Template[] }>('templates', {})).templates;

  make = (folder: string, template: string): Promise<Session> =>
    this.api.call('workspaces', { method: 'POST', body: JSON.stringify({ folder, template }) });

  files = (id: string, path: string): Promise<{ entries: FileEntry[]; more: number }> => this.api.call(place(id, path), {});

  removeFile = (id: string, path: string): Promise<unknown> => this.api.call(place(id, path), { method: 'DELETE' });

  fileUrl = (id: string, path: string): string => this.api.url(place(id, path));

  exportUrl = (id: string): string => this.api.url(`workspaces/${id}/export`);

  /** Piece by piece; what broke off is asked for and gone on with, also after the page was loaded anew. */
  async upload(id: string, path: string, file: File, tell: (sent: number) => void, signal: AbortSignal): Promise<void> {
    const name = encodeURIComponent(`${file.name}-${file.size}-${file.lastModified}`.slice(-150));
    const where = `${place(id, path)}?upload=${name}`;
    const send = async (from: number): Promise<number> => {
      const to = Math.min(file.size, from + PIECE);
      const range = from < 0 || !file.size ? `bytes */${file.size}` : `bytes ${from}-${to - 1}/${file.size}`;
      const body = from < 0 ? new Blob([]) : file.slice(from, to);
      const said = await this.api.call<{ received?: number }>(where, { method: 'PUT', body, headers: { 'Content-Range': range }, signal });
      return said.received ?? file.size;
    };
    let sent = await send(-1);
    for (let failed = 0; sent < file.size; ) {
      tell(sent);
      try {
        sent = await send(sent);
        failed = 0;
      } catch (error) {
        const passing = error instanceof Refused && (error.status === 0 || error.status === 429 || error.status >= 500);
        if (signal.aborted || !passing || ++failed >= TRIES) {
          throw error;
        }
        await new Promise(done => setTimeout(done, 500 * 2 ** failed));
        sent = await send(-1);
      }
    }
    tell(file.size);
  }
}

function place(id: string, path: string): string {
  return ['sessions', id, 'files', ...path.split('/').filter(Boolean)].map(encodeURIComponent).join('/');
}

/** 512 B, 1.5 MB; empty for what nobody counted. */
export function bytes(size: number): string {
  if (size < 0) {
    return '';
  }
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const power = size < 1000 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(size) / 3));
  const shown = size / 1000 ** power;
  return `${power && shown < 10 ? shown.toFixed(1) : Math.round(shown)} ${units[power]}`;
}
