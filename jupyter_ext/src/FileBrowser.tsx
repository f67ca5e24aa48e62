// The files of a workspace: folders to walk through, files to take out, and a place to drop others in.
import { ChangeEvent, DragEvent, useCallback, useEffect, useRef, useState } from 'react';
import { Icon } from '../../widgets/src/views/Icon';
import { visible } from '../../widgets/src/views/plain';
import type { Host } from './host';
import { whileWanted } from './late';
import { ago } from './shown';
import { FileEntry, WorkspaceApi, bytes } from './places';

interface Props {
  session: string;
  api: WorkspaceApi;
  host: Host;
  say: (error: unknown) => void;
  changed: () => void;
}

interface Arriving {
  name: string;
  size: number;
  sent: number;
  stop: AbortController;
}

export function FileBrowser({ session, api, host, say, changed }: Props) {
  const [path, setPath] = useState('');
  const [found, setFound] = useState<{ entries: FileEntry[]; more: number } | null>(null);
  const [over, setOver] = useState(false);
  const [arriving, setArriving] = useState<readonly Arriving[]>([]);
  const current = useRef('');
  const started = useRef(false);
  current.current = path;
  const look = useCallback(async (): Promise<void> => {
    const listing = api.files(session, path);
    await whileWanted(listing, () => current.current === path, setFound, error => {
      setFound({ entries: [], more: 0 });
      say(error);
    });
    if (!started.current && (await listing.catch(() => null))) {
      started.current = true;
      changed(); // looking has started the sandbox
    }
  }, [api, session, path, say, changed]);
  useEffect(() => {
    setFound(null);
    void look();
  }, [look]);

  const bring = async (files: readonly File[]): Promise<void> => {
    for (const file of files) {
      const one: Arriving = { name: file.name, size: file.size, sent: 0, stop: new AbortController() };
      const show = (sent: number): void => setArriving(all => all.map(other => (other.stop === one.stop ? { ...other, sent } : other)));
      setArriving(all => [...all, one]);
      try {
        await api.upload(session, below(path, file.name), file, show, one.stop.signal);
      } catch (error) {
        if (!one.stop.signal.aborted) {
          say(error);
        }
      } finally {
        setArriving(all => all.filter(other => other.stop !== one.stop));
      }
      await look();
    }
    changed();
  };
  const remove = async (entry: FileEntry): Promise<void> => {
    const what = entry.kind === 'dir' ? 'the folder' : 'the file';
    if (await host.confirm(visible(`Remove ${what} “${entry.name}”${entry.kind === 'dir' ? ' with all that is in it' : ''}?`), 'Remove')) {
      await api.removeFile(session, below(path, entry.name)).catch(say);
      await look();
      changed();
    }
  };
  const drop = (event: DragEvent): void => {
    event.preventDefault();
    setOver(false);
    void bring(filesOf(event));
  };
  const pick = (event: ChangeEvent<HTMLInputElement>): void => {
    void bring([...(event.target.files ?? [])]);
    event.target.value = '';
  };
  const steps = path.split('/').filter(Boolean);
  return (
    <div
      className="agk-browser"
      onDragOver={event => (event.preventDefault(), setOver(true))}
      onDragLeave={event => !event.currentTarget.contains(event.relatedTarget as Node | null) && setOver(false)}
      onDrop={drop}
    >
      <div className="agk-bar agk-crumbs">
        <nav aria-label="Folder">
          <button type="button" className="agk-quiet" aria-current={steps.length ? undefined : 'page'} onClick={() => setPath('')}>
            Files
          </button>
          {steps.map((step, at) => (
            <span key={at}>
              /
              <button type="button" className="agk-quiet" aria-current={at === steps.length - 1 ? 'page' : undefined} onClick={() => setPath(steps.slice(0, at + 1).join('/'))}>
                {visible(step)}
              </button>
            </span>
          ))}
        </nav>
        <span className="agk-space" />
        <button type="button" className="agk-quiet" aria-label="Look again" title="Look again" onClick={() => void look()}>
          <Icon name="retry" />
        </button>
        <label className="agk-attach" title="Upload files, or drop them here">
          <Icon name="upload" /> Upload
          <input type="file" multiple className="agk-hidden" aria-label="Upload files" onChange={pick} />
        </label>
      </div>
      {arriving.map((one, at) => (
        <p key={at} className="agk-bar agk-arriving" role="status">
          <span className="agk-name">{visible(one.name)}</span>
          <progress max={one.size || 1} value={one.sent} aria-label={`Upload of ${visible(one.name)}`} />
          <span className="agk-dim agk-number">{bytes(one.sent)} of {bytes(one.size)}</span>
          <button type="button" className="agk-quiet" aria-label={`Stop the upload of ${visible(one.name)}`} onClick={() => one.stop.abort()}>
            <Icon name="close" />
          </button>
        </p>
      ))}
      <div className="agk-scroll" tabIndex={0} role="region" aria-label="Files">
        {!found && <p className="agk-dim agk-empty agk-pane" role="status">Looking …</p>}
        {found && !found.entries.length && <p className="agk-dim agk-empty agk-pane">Nothing is here. Drop files, or ask the agent for some.</p>}
        {found && found.entries.length > 0 && (
          <ul className="agk-entries">
            {found.entries.map(entry => (
              <Row key={entry.name} entry={entry} open={() => setPath(below(path, entry.name))} download={() => host.download(api.fileUrl(session, below(path, entry.name)))} remove={() => void remove(entry)} />
            ))}
          </ul>
        )}
        {found && found.more > 0 && <p className="agk-dim agk-empty agk-pane">{found.more.toLocaleString('en')} more are not shown.</p>}
      </div>
      {over && <div className="agk-drop">Drop to upload into {visible(steps[steps.length - 1] ?? 'the workspace')}</div>}
    </div>
  );
}

function Row({ entry, open, download, remove }: { entry: FileEntry; open: () => void; download: () => void; remove: () => void }) {
  const name = visible(entry.name);
  const folder = entry.kind === 'dir';
  return (
    <li>
      <button type="button" className="agk-entry" disabled={entry.kind === 'other'} title={folder ? name : `Download ${name}`} onClick={folder ? open : download}>
        <Icon name={folder ? 'folder' : entry.kind === 'symlink' ? 'open' : 'files'} />
        <span className="agk-name">{name}</span>
        <span className="agk-dim agk-number">{entry.kind === 'file' ? bytes(entry.size) : ''}</span>
        <span className="agk-dim agk-number agk-when">{ago(entry.modified_ms, Date.now())}</span>
      </button>
      <button type="button" className="agk-quiet" aria-label={`Remove ${name}`} title="Remove" onClick={remove}>
        <Icon name="trash" />
      </button>
    </li>
  );
}

function below(path: string, name: string): string {
  return path ? `${path}/${name}` : name;
}

/** Files only: a folder that is dropped has no bytes of its own. */
function filesOf(event: DragEvent): File[] {
  const items = [...event.dataTransfer.items].filter(item => item.kind === 'file' && item.webkitGetAsEntry()?.isFile !== false);
  return items.map(item => item.getAsFile()).filter((file): file is File => file !== null);
}
