// The whole panel: the list, one run, and the box to write in. Beside each other where there is room.
import { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react';
import { FINAL } from '../../widgets/src/run';
import { Icon } from '../../widgets/src/views/Icon';
import { oneLine, visible } from '../../widgets/src/views/plain';
import { money, nextTurnCost } from '../../widgets/src/window';
import { Composer } from './Composer';
import { RunDetail, Tab } from './RunDetail';
import { RunList } from './RunList';
import { Setup } from './Setup';
import { Refused, RunRow } from './api';
import { COMMANDS, parse } from './commands';
import type { Host } from './host';
import type { Hub } from './hub';
import { folderOf, fromRoot, nameOf } from './paths';
import { titleOf } from './shown';

export const PERMISSIONS: Array<[string, string]> = [
  ['plan', 'Only read'],
  ['ask', 'Ask first'],
  ['accept-edits', 'Accept edits'],
  ['bypass', 'Ask nothing']
];

export function Panel({ hub, host }: { hub: Hub; host: Host }) {
  const known = useSyncExternalStore(hub.subscribe, hub.snapshot);
  const place = usePlace(host);
  const [tab, setTab] = useState<Tab>('chat');
  const [fresh, setFresh] = useState(false);
  const [model, setModel] = useState('');
  const [permission, setPermission] = useState('');
  const [said, setSaid] = useState('');
  const [settingUp, setSettingUp] = useState(false);
  const row = hub.row(known.selected);
  const shownRow = known.runs.find(other => other.id === known.selected) ?? row;
  const run = hub.fold(known.selected);
  const session = row ? known.sessions.get(row.session_id) : undefined;
  const going = !!shownRow && !FINAL.has(shownRow.status);
  const root = known.defaults?.root ?? '';
  const start = place.notebook ? folderOf(place.notebook) : place.folder;
  const inSession = !!session && !fresh;
  const folder = inSession ? fromRoot(root, session.workspace) : start;
  const demo = known.defaults?.ready === false ? 'demo' : '';
  const choice = model || (inSession && shownRow ? shownRow.model : demo);
  const permitted = permission || (inSession && shownRow?.options.permission) || known.defaults?.permission || '';

  useEffect(() => {
    setTab('chat');
    setFresh(false);
    setSaid('');
  }, [known.selected]);

  const begin = useCallback(
    async (prompt: string): Promise<void> => {
      const target = inSession ? session : await hub.openSession(start, oneLine(prompt, 40), true);
      await hub.begin(target.id, prompt, { ...(choice ? { model: choice } : {}), ...(permitted ? { permission: permitted } : {}) });
    },
    [hub, inSession, session, start, choice, permitted]
  );

  const perform = useCallback(
    async (text: string): Promise<boolean> => {
      setSaid('');
      const typed = parse(text);
      if (!typed) {
        await (inSession && going && shownRow ? hub.api.say(shownRow.id, text) : begin(text));
        return true;
      }
      if ('problem' in typed) {
        hub.say(new Error(typed.problem));
        return false;
      }
      const { name, argument } = typed;
      const needed = (): RunRow => {
        if (!shownRow) {
          throw new Error(`/${name} needs a run: open one of the list first.`);
        }
        return shownRow;
      };
      switch (name) {
        case 'help':
          setSaid(Object.entries(COMMANDS).map(([command, about]) => `/${command}  ${about}`).join('\n'));
          break;
        case 'status':
          setSaid(`${needed().status}${needed().reason ? ` (${needed().reason})` : ''}: ${oneLine(needed().prompt, 90)}`);
          break;
        case 'say':
          await hub.api.say(needed().id, argument);
          break;
        case 'approve':
          setSaid(await approve(hub, needed(), argument || 'allow'));
          break;
        case 'stop':
        case 'pause':
        case 'resume':
          await hub.act(needed().id, { kind: 'control', action: name === 'stop' ? 'cancel' : name });
          break;
        case 'undo':
          await hub.act(needed().id, { kind: 'undo', call_id: null, ...(argument ? { path: argument } : {}) });
          break;
        case 'diff':
          needed();
          setTab('files');
          break;
        case 'cost':
          needed();
          setTab('context');
          break;
        case 'model':
          setModel(argument || model);
          setSaid(`Model: ${argument || choice || known.defaults?.model || ''}`);
          break;
        case 'runs':
          await hub.select(null);
          break;
        case 'new':
          setFresh(true);
          break;
        case 'export':
          download(host, hub, needed(), argument || 'ipynb');
          break;
        case 'retry':
          await hub.retry(needed().id);
      }
      return true;
    },
    [hub, host, inSession, going, shownRow, begin, model, choice, known.defaults]
  );

  const forget = async (): Promise<void> => {
    const count = known.runs.filter(other => other.session_id === session?.id).length;
    const question = `Forget this conversation, “${titleOf(session).title}”, with ${count === 1 ? 'its run' : `its ${count} runs`}? The files in its folder stay.`;
    if (session && (await host.confirm(visible(question), 'Forget'))) {
      await hub.forget(session.id).catch(hub.say);
    }
  };

  const openFile = useMemo(() => {
    const workspace = session && fromRoot(root, session.workspace);
    return workspace === null || workspace === undefined ? null : (path: string) => host.open(workspace ? `${workspace}/${path}` : path);
  }, [host, root, session]);

  const label = inSession ? (going ? 'Steer the agent …' : 'Go on in this conversation …') : 'What should be done?';
  const listed = useMemo(
    () => known,
    [known.runs, known.sessions, known.selected, known.loading, known.whole, known.online, known.today]
  );
  return (
    <div className="agk agk-panel">
      <div className={shownRow ? 'agk-split agk-opened' : 'agk-split'}>
      <aside className="agk-side">
        {known.model && (settingUp || !known.model.by) && (
          <Setup hub={hub} known={known.model} {...(settingUp ? { close: () => setSettingUp(false) } : {})} />
        )}
        <RunList hub={hub} known={listed} setUp={() => setSettingUp(!settingUp)} />
      </aside>
      <main className="agk-main">
        {shownRow && (
          <div className="agk-top">
            <button type="button" className="agk-quiet agk-back" onClick={() => void hub.select(null)}>
              <Icon name="back" /> Runs
            </button>
            <strong title={visible(shownRow.prompt)}>{titleOf(session).title}</strong>
            <span className="agk-space" />
            <button type="button" className="agk-quiet" title="Ask the same again" aria-label="Ask the same again" disabled={going} onClick={() => void hub.retry(shownRow.id).catch(hub.say)}>
              <Icon name="retry" />
            </button>
            <button type="button" className="agk-quiet" title="Download as a notebook" aria-label="Download as a notebook" onClick={() => download(host, hub, shownRow, 'ipynb')}>
              <Icon name="download" />
            </button>
            <button type="button" className="agk-quiet" title="Forget this conversation" aria-label="Forget this conversation" disabled={going} onClick={() => void forget()}>
              <Icon name="trash" />
            </button>
            <button type="button" className="agk-quiet" aria-pressed={fresh} title="New conversation" aria-label="New conversation" onClick={() => setFresh(!fresh)}>
              <Icon name="plus" />
            </button>
          </div>
        )}
        {shownRow?.reason === 'not_configured' && known.model?.by === '' && <Setup hub={hub} known={known.model} />}
        {shownRow && <RunDetail hub={hub} row={shownRow} run={run} tab={tab} show={setTab} openFile={openFile} />}
        {!known.online && (
          <p className="agk-offline" role="status">
            <Icon name="warning" /> Offline: the Jupyter server is away. Runs go on there, and this catches up by itself.
          </p>
        )}
        {(known.notice || said) && (
          <div className={known.notice ? 'agk-notice' : 'agk-notice agk-said'} role="alert">
            <pre>{visible(known.notice || said)}</pre>
            <button type="button" className="agk-quiet" aria-label="Dismiss" onClick={() => (setSaid(''), hub.dismiss())}>
              <Icon name="close" />
            </button>
          </div>
        )}
        <Composer host={host} folder={folder} label={label} submit={perform} say={hub.say}>
          {!(inSession && going) && (
            <>
              <ModelPicker value={choice} fallback={known.defaults?.model ?? ''} runs={known.runs} choose={setModel} />
              <select className={permitted === 'bypass' ? 'agk-pick agk-danger' : 'agk-pick'} aria-label="Permission" title="Only read · ask before each change · accept what stays in the sandbox · ask nothing, ever" value={permitted} onChange={event => setPermission(event.target.value)}>
                {PERMISSIONS.map(([value, name]) => (
                  <option key={value} value={value}>
                    {name}
                  </option>
                ))}
              </select>
              {!inSession && (
                <span className="agk-dim agk-where" title={`Works in ${start || 'the root folder'}`}>
                  <Icon name="folder" /> {visible(nameOf(start) || 'root folder')}
                </span>
              )}
            </>
          )}
          {inSession && run && nextTurnCost(run) ? (
            <span className="agk-dim agk-number" title="What one more turn costs, about">
              ≈ {money(nextTurnCost(run)!)} a turn
            </span>
          ) : null}
        </Composer>
      </main>
      </div>
    </div>
  );
}

function ModelPicker({ value, fallback, runs, choose }: { value: string; fallback: string; runs: readonly RunRow[]; choose: (model: string) => void }) {
  const [typing, setTyping] = useState(false);
  const names = useMemo(() => [...new Set([value, fallback, ...runs.map(row => row.model), 'demo'])].filter(Boolean).slice(0, 12), [value, fallback, runs]);
  const box = useRef<HTMLInputElement>(null);
  useEffect(() => {
    box.current?.focus();
  }, [typing]);
  if (typing) {
    const done = (): void => {
      choose(box.current?.value.trim() || value);
      setTyping(false);
    };
    return (
      <input
        ref={box}
        className="agk-pick"
        aria-label="Name of the model"
        placeholder="Name of the model"
        onBlur={done}
        onKeyDown={event => {
          event.stopPropagation();
          if (event.key === 'Enter') {
            event.preventDefault();
            done();
          }
        }}
      />
    );
  }
  return (
    <select className="agk-pick" aria-label="Model" title="Model" value={value || fallback} onChange={event => (event.target.value ? choose(event.target.value) : setTyping(true))}>
      {names.map(name => (
        <option key={name} value={name}>
          {name === 'demo' ? 'demo: no AI' : visible(name)}
        </option>
      ))}
      <option value="">Another model …</option>
    </select>
  );
}

/** Answers the oldest request of a run; what there is to say of it. */
async function approve(hub: Hub, row: RunRow, decision: string): Promise<string> {
  const asked = hub.fold(row.id)?.entries.find(entry => entry.kind === 'approval' && !entry.answer);
  if (asked?.kind !== 'approval') {
    return 'The run asks nothing.';
  }
  if (decision !== 'allow' && decision !== 'session' && decision !== 'deny') {
    return `“${decision}” is not an answer. Say allow, session or deny.`;
  }
  await hub.act(row.id, { kind: 'approve', id: asked.request.id, decision });
  return '';
}

const FORMATS = ['ipynb', 'html', 'md'];

function download(host: Host, hub: Hub, row: RunRow, format: string): void {
  const kind = format.replace(/^.*\./, '');
  if (!FORMATS.includes(kind)) {
    throw new Refused(400, `${format} is none of ${FORMATS.join(', ')}.`, '');
  }
  host.download(hub.api.transcriptUrl(row.id, kind));
}

function usePlace(host: Host) {
  const [place, setPlace] = useState(() => host.place());
  useEffect(() => host.onPlace(() => setPlace(host.place())), [host]);
  return place;
}
