// The whole panel: the list, one run, and the box to write in. Beside each other where there is room.
import { useCallback, useEffect, useMemo, useState, useSyncExternalStore } from 'react';
import { FINAL } from '../../widgets/src/run';
import { Icon } from '../../widgets/src/views/Icon';
import { useHeard } from '../../widgets/src/views/heard';
import { Setup } from '../../widgets/src/views/Setup';
import { oneLine, parted, visible } from '../../widgets/src/views/plain';
import { money, nextTurnCost } from '../../widgets/src/window';
import { Composer } from './Composer';
import { Menu } from './Menu';
import { ModelPicker } from './ModelPicker';
import { RunDetail, Tab } from './RunDetail';
import { Page, RunList } from './RunList';
import { Settings } from './Settings';
import { Trust } from './Trust';
import { UsagePage } from './UsagePage';
import { FORMATS, carryOut, download } from './carryout';
import type { Named } from './api';
import { parse } from './commands';
import { Host, removed } from './host';
import type { Hub } from './hub';
import { folderOf, fromRoot, join, nameOf } from './paths';
import { Workspaces } from './Workspaces';
import { titleOf } from './shown';

export const PERMISSIONS: Array<[string, string]> = [
  ['plan', 'Only read'],
  ['ask', 'Ask first'],
  ['accept-edits', 'Accept edits'],
  ['bypass', 'Ask nothing']
];

export function Panel({ hub, host }: { hub: Hub; host: Host }) {
  const known = useSyncExternalStore(hub.subscribe, hub.snapshot);
  const place = useHeard(host, () => host.place(), heard => host.onPlace(heard));
  const [tab, setTab] = useState<Tab>('chat');
  const [fresh, setFresh] = useState(false);
  const [model, setModel] = useState('');
  const [permission, setPermission] = useState('');
  const [wishedAgent, setAgent] = useState('');
  const [said, setSaid] = useState('');
  const [settingUp, setSettingUp] = useState(false);
  const [page, setPage] = useState<Page>('');
  const back = useCallback(() => setPage(''), []);
  const row = hub.row(known.selected);
  const shownRow = known.runs.find(other => other.id === known.selected) ?? row;
  const run = hub.fold(known.selected);
  const session = row ? known.sessions.get(row.session_id) : undefined;
  const going = !!shownRow && !FINAL.has(shownRow.status);
  const root = known.defaults?.root ?? '';
  const start = place.notebook ? folderOf(place.notebook) : place.folder;
  const inSession = !!session && !fresh;
  const workspace = inSession ? session.workspace : join(root, start);
  const folder = inSession ? fromRoot(root, session.workspace) : start;
  const asked = inSession ? session.id : null;
  const skills = useCallback(() => hub.api.skills(asked), [hub, asked]);
  const settled = !known.selected || run !== null;
  const agents = useAgents(hub, asked, known.online && settled);
  const agent = agents.some(one => one.name === wishedAgent) ? wishedAgent : '';
  const demo = known.defaults?.ready === false ? 'demo' : '';
  const choice = model || (inSession && shownRow ? shownRow.model : demo);
  const permitted = permission || (inSession && shownRow?.options.permission) || known.defaults?.permission || '';

  useEffect(() => {
    setTab('chat');
    setFresh(false);
    setSaid('');
    setPage('');
  }, [known.selected]);

  const begin = useCallback(
    async (prompt: string): Promise<void> => {
      const whole = await host.describe(prompt, folder); // before a conversation is made that would stay empty
      const target = inSession ? session : await hub.openSession(start, oneLine(parted(whole).typed, 40), true);
      await hub.begin(target.id, whole, { ...(choice ? { model: choice } : {}), ...(permitted ? { permission: permitted } : {}), ...(agent ? { agent } : {}) }, place.kernel ? place.notebook : null);
    },
    [hub, host, inSession, session, start, folder, place, choice, permitted, agent]
  );

  const perform = useCallback(
    async (text: string): Promise<boolean> => {
      setSaid('');
      const typed = parse(text);
      if (!typed) {
        await (inSession && going && shownRow ? host.describe(text, folder).then(whole => hub.api.say(shownRow.id, whole)) : begin(text));
        return true;
      }
      const model = (name: string): string => (name && setModel(name), name || choice || known.defaults?.model || '');
      const said = await carryOut(typed, { hub, host, row: shownRow ?? null, show: setTab, model, renew: () => setFresh(true) });
      setSaid(said);
      return true;
    },
    [hub, host, inSession, going, shownRow, folder, begin, choice, known.defaults]
  );

  const forget = async (): Promise<void> => {
    const count = known.runs.filter(other => other.session_id === session?.id).length;
    const question = `Forget this conversation, “${titleOf(session).title}”, with ${count === 1 ? 'its run' : `its ${count} runs`}? The files in its folder stay.`;
    if (session && (await host.confirm(visible(question), 'Forget'))) {
      await removed(host, force => hub.forget(session.id, force)).catch(hub.say);
    }
  };

  const openFile = useMemo(() => {
    const from = session && fromRoot(root, session.workspace);
    return from === null || from === undefined ? null : (path: string) => host.open(from ? `${from}/${path}` : path);
  }, [host, root, session]);

  const label = inSession ? (going ? 'Steer the agent …' : 'Go on in this conversation …') : 'What should be done?';
  const listed = useMemo(
    () => known,
    [known.runs, known.sessions, known.selected, known.loading, known.whole, known.online, known.today]
  );
  return (
    <div className="agk agk-panel">
      {page === 'usage' && <UsagePage hub={hub} close={back} />}
      {page === 'arrange' && <Settings hub={hub} host={host} session={inSession ? session.id : null} folder={start} close={back} />}
      <div className={shownRow || page === 'workspaces' ? 'agk-split agk-opened' : 'agk-split'} hidden={page === 'arrange'}>
      <aside className="agk-side">
        {known.model && (settingUp || !known.model.by) && (
          <Setup door={hub.api.model} changed={hub.setModel} known={known.model} {...(settingUp ? { close: () => setSettingUp(false) } : {})} />
        )}
        <RunList hub={hub} known={listed} setUp={() => setSettingUp(!settingUp)} open={setPage} />
      </aside>
      <main className="agk-main">
        {page === 'workspaces' && <Workspaces hub={hub} host={host} root={root} first={session?.id ?? null} close={back} />}
        {shownRow && page !== 'workspaces' && (
          <div className="agk-top">
            <button type="button" className="agk-quiet agk-back" onClick={() => void hub.select(null)}>
              <Icon name="back" /> <span className="agk-word">Runs</span>
            </button>
            <strong title={visible(shownRow.prompt)}>{titleOf(session).title}</strong>
            <span className="agk-space" />
            <button type="button" className="agk-quiet" title="Ask the same again" aria-label="Ask the same again" disabled={going} onClick={() => void hub.retry(shownRow.id).catch(hub.say)}>
              <Icon name="retry" />
            </button>
            <button type="button" className="agk-quiet" aria-pressed={known.replaying} title="Replay step by step, or go on from a step" aria-label="Replay" disabled={going} onClick={() => void hub.replay(known.replaying ? null : shownRow.id).catch(hub.say)}>
              <Icon name="replay" />
            </button>
            <button type="button" className="agk-quiet" title="Skills and MCP servers of this conversation" aria-label="Skills of this conversation" onClick={() => setPage('arrange')}>
              <Icon name="skill" />
            </button>
            <Menu label="Export transcript" icon={<Icon name="download" />} choices={FORMATS.map(([format, name]) => [name, () => download(host, hub, shownRow, format)])} />
            <button type="button" className="agk-quiet" title="Forget this conversation" aria-label="Forget this conversation" disabled={going} onClick={() => void forget()}>
              <Icon name="trash" />
            </button>
            <button type="button" className="agk-quiet" aria-pressed={fresh} title="New conversation" aria-label="New conversation" onClick={() => setFresh(!fresh)}>
              <Icon name="plus" />
            </button>
          </div>
        )}
        {shownRow?.reason === 'not_configured' && known.model?.by === '' && <Setup door={hub.api.model} changed={hub.setModel} known={known.model} />}
        {shownRow && page !== 'workspaces' && <RunDetail hub={hub} host={host} row={shownRow} run={run} tab={tab} show={setTab} openFile={openFile} replaying={known.replaying} />}
        {known.online && root && (
          <Trust key={workspace} hub={hub} workspace={workspace} ready={settled} session={inSession ? session.id : null} after={shownRow && !going ? shownRow.id : ''} />
        )}
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
        <Composer host={host} folder={folder} label={label} skills={skills} submit={perform} say={hub.say}>
          {!(inSession && going) && (
            <>
              <ModelPicker value={choice} fallback={known.defaults?.model ?? ''} runs={known.runs} choose={setModel} />
              {agents.length > 0 && (
                <select className="agk-pick" aria-label="Agent" title="As what the run works" value={agent} onChange={event => setAgent(event.target.value)}>
                  <option value="">Default agent</option>
                  {agents.map(({ name, description }) => (
                    <option key={name} value={name} title={visible(description)}>
                      {visible(name)}
                    </option>
                  ))}
                </select>
              )}
              <select className={permitted === 'bypass' ? 'agk-pick agk-danger' : 'agk-pick'} aria-label="Permission" title="Only read · ask before each change · accept what stays in the sandbox · ask nothing, ever" value={permitted} onChange={event => setPermission(event.target.value)}>
                {PERMISSIONS.map(([value, name]) => (
                  <option key={value} value={value}>
                    {name}
                  </option>
                ))}
              </select>
              {place.kernel && place.notebook && (
                <span className="agk-dim agk-where" title={`May look at the variables of ${place.notebook}; code runs in its kernel as the permission says. Name a variable with @.`}>
                  <Icon name="notebook_variables" /> {visible(nameOf(place.notebook))}
                </span>
              )}
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

function useAgents(hub: Hub, session: string | null, ready: boolean): Named[] {
  const [agents, setAgents] = useState<Named[]>([]);
  useEffect(() => {
    let gone = false;
    if (ready) {
      hub.api.agents(session).then(found => !gone && setAgents(found), () => undefined);
    }
    return () => {
      gone = true;
    };
  }, [hub, session, ready]);
  return agents;
}
