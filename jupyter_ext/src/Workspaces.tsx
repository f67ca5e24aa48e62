// All workspaces: where sessions work, what they take, what becomes of their sandboxes, and a browser of their files.
import { FormEvent, KeyboardEvent, useCallback, useEffect, useMemo, useState } from 'react';
import { Icon } from '../../widgets/src/views/Icon';
import { visible } from '../../widgets/src/views/plain';
import { FileBrowser } from './FileBrowser';
import { Host, removed } from './host';
import type { Hub } from './hub';
import { fromRoot, nameOf } from './paths';
import { ago, titleOf } from './shown';
import { Template, Workspace, WorkspaceApi, bytes } from './places';

const STATES: Record<string, string> = { running: 'running', stopped: 'stopped', archived: 'archived', gone: 'no sandbox yet', unknown: 'Daytona does not answer' };

interface Props {
  hub: Hub;
  host: Host;
  root: string;
  /** The session that is open in the panel. */
  first: string | null;
  close: () => void;
}

export function Workspaces({ hub, host, root, first, close }: Props) {
  const api = useMemo(() => new WorkspaceApi(hub.api), [hub]);
  const [all, setAll] = useState<Workspace[] | null>(null);
  const [chosen, setChosen] = useState(first);
  const [making, setMaking] = useState(false);
  const refresh = useCallback(() => api.list().then(setAll, error => (setAll(known => known ?? []), hub.say(error))), [api, hub]);
  useEffect(() => void refresh(), [refresh]);
  const one = all?.find(workspace => workspace.id === chosen);
  const onKeyDown = (event: KeyboardEvent): void => event.stopPropagation(); // JupyterLab has shortcuts on plain letters
  return (
    <section className="agk-workspaces" aria-label="Workspaces" onKeyDown={onKeyDown}>
      <div className="agk-top">
        {one ? (
          <>
            <button type="button" className="agk-quiet" aria-label="All workspaces" title="All workspaces" onClick={() => setChosen(null)}>
              <Icon name="back" />
            </button>
            <strong title={visible(one.name)}>{titleOf(one).title}</strong>
          </>
        ) : (
          <strong>Workspaces</strong>
        )}
        <span className="agk-space" />
        {!one && (
          <button type="button" className="agk-quiet" aria-pressed={making} onClick={() => setMaking(!making)}>
            <Icon name="plus" /> New
          </button>
        )}
        <button type="button" className="agk-quiet" aria-label="Close workspaces" title="Close" onClick={close}>
          <Icon name="close" />
        </button>
      </div>
      {making && !one && <Make api={api} made={id => (setMaking(false), void hub.refresh(), void refresh().then(() => setChosen(id)))} say={hub.say} />}
      {one ? (
        <One key={one.id} workspace={one} api={api} hub={hub} host={host} root={root} changed={refresh} gone={() => setChosen(null)} />
      ) : (
        <div className="agk-scroll" tabIndex={0} role="region" aria-label="List of workspaces">
          {!all && <p className="agk-dim agk-empty agk-pane" role="status">Looking …</p>}
          {all?.length === 0 && <p className="agk-dim agk-empty agk-pane">There is none yet. The first prompt makes one of the folder it is asked in, or begin with a template.</p>}
          {all?.map(workspace => (
            <button key={workspace.id} type="button" className="agk-run" onClick={() => setChosen(workspace.id)}>
              <State state={workspace.state} />
              <span className="agk-about">
                <span className="agk-prompt">{titleOf(workspace).title}</span>
                <span className="agk-dim">
                  {workspace.provider} · {STATES[workspace.state] ?? visible(workspace.state)} · {ago(workspace.updated_ms, Date.now())}
                </span>
              </span>
            </button>
          ))}
        </div>
      )}
    </section>
  );
}

function State({ state }: { state: string }) {
  return <span className={`agk-dot agk-is-${state.replace(/[^a-z]/g, '')}`} aria-hidden="true" />;
}

interface OneProps {
  workspace: Workspace;
  api: WorkspaceApi;
  hub: Hub;
  host: Host;
  root: string;
  changed: () => Promise<unknown>;
  gone: () => void;
}

function One({ workspace, api, hub, host, root, changed, gone }: OneProps) {
  const [known, setKnown] = useState(workspace);
  const [doing, setDoing] = useState('');
  const look = useCallback(() => void api.show(workspace.id).then(setKnown, hub.say), [api, hub, workspace.id]);
  useEffect(look, [look]);
  const attempt = async (what: string, work: () => Promise<unknown>): Promise<void> => {
    setDoing(what);
    try {
      await work();
      setKnown(await api.show(workspace.id));
      await changed();
    } catch (error) {
      hub.say(error);
    } finally {
      setDoing('');
    }
  };
  const remove = async (): Promise<void> => {
    const question = `Delete the sandbox of “${titleOf(workspace).title}”, with the packages it installed and its snapshots? Older runs can no longer be undone. The folder and the conversation stay.`;
    if (!(await host.confirm(visible(question), 'Delete'))) {
      return;
    }
    await attempt('Deleting …', async () => {
      await removed(host, force => api.remove(workspace.id, force));
      gone();
    });
  };
  const place = fromRoot(root, known.workspace) ?? known.workspace;
  const remote = known.provider === 'daytona';
  const asleep = remote && known.state !== 'running';
  return (
    <>
      <header className="agk-workspace">
        <p className="agk-dim" title={visible(known.workspace)}>
          <Icon name="folder" /> {visible(place || 'root folder')}
          {!known.here && ' (on another machine)'}
        </p>
        <p className="agk-bar">
          <span className="agk-chip">
            <State state={known.state} /> {known.provider}, {STATES[known.state] ?? visible(known.state)}
          </span>
          {known.folder_bytes >= 0 && (
            <span className="agk-chip" title="What the files of the folder take">
              files {bytes(known.folder_bytes)}
            </span>
          )}
          {known.sandbox_bytes > 0 && (
            <span className="agk-chip" title="Packages, caches, outputs and snapshots, beside the folder">
              sandbox {bytes(known.sandbox_bytes)}
            </span>
          )}
          {doing && (
            <span className="agk-dim" role="status">
              <span className="agk-spinner" aria-hidden="true" /> {doing}
            </span>
          )}
        </p>
        <span className="agk-buttons">
          {known.state === 'running' ? (
            <button type="button" disabled={!!doing} title="Ends what runs in it; files stay" onClick={() => void attempt('Stopping …', () => api.act(workspace.id, 'stop'))}>
              <Icon name="stop" /> Stop
            </button>
          ) : (
            <button type="button" disabled={!!doing} onClick={() => void attempt('Starting …', () => api.act(workspace.id, 'start'))}>
              <Icon name="play" /> Start
            </button>
          )}
          <button type="button" disabled={!!doing} title={remote ? 'Moves its disk to cold storage' : 'Lets go of caches and installed packages'} onClick={() => void attempt('Archiving …', () => api.act(workspace.id, 'archive'))}>
            <Icon name="archive" /> Archive
          </button>
          <button type="button" title="All files as tar.gz" onClick={() => host.download(api.exportUrl(workspace.id))}>
            <Icon name="download" /> Export
          </button>
          <button type="button" className="agk-stop" disabled={!!doing} onClick={() => void remove()}>
            <Icon name="trash" /> Delete
          </button>
        </span>
      </header>
      {asleep ? (
        <p className="agk-dim agk-empty agk-pane">The sandbox at Daytona does not run. Start it to see its files; those of your folder are in Jupyter’s own file browser.</p>
      ) : (
        <FileBrowser session={workspace.id} api={api} host={host} say={hub.say} changed={look} />
      )}
    </>
  );
}

function Make({ api, made, say }: { api: WorkspaceApi; made: (id: string) => void; say: (error: unknown) => void }) {
  const [templates, setTemplates] = useState<Template[]>([]);
  const [template, setTemplate] = useState('blank');
  const [folder, setFolder] = useState('');
  const [busy, setBusy] = useState(false);
  useEffect(() => void api.templates().then(setTemplates, say), [api, say]);
  const submit = async (event: FormEvent): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    try {
      made((await api.make(folder.trim(), template)).id);
    } catch (error) {
      say(error);
    } finally {
      setBusy(false);
    }
  };
  return (
    <form className="agk-make" aria-label="New workspace" onSubmit={event => void submit(event)}>
      <fieldset>
        <legend className="agk-dim">Begin with</legend>
        {templates.map(one => (
          <label key={one.name}>
            <input type="radio" name="agk-template" value={one.name} checked={template === one.name} onChange={() => setTemplate(one.name)} />
            <span>
              <strong>{visible(one.name)}</strong> <span className="agk-dim">{visible(one.about)}</span>
            </span>
          </label>
        ))}
      </fieldset>
      <span className="agk-bar">
        <input value={folder} placeholder="Name of the new folder" aria-label="Name of the new folder" spellCheck={false} onChange={event => setFolder(event.target.value)} />
        <button type="submit" className="agk-primary" disabled={busy || !nameOf(folder.trim())}>
          Make it
        </button>
      </span>
    </form>
  );
}
