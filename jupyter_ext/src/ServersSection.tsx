// MCP servers: how each stands, its tools and what is wrong; added, tried, switched, logged in at, removed.
import { FormEvent, useCallback, useEffect, useId, useState } from 'react';
import { Icon } from '../../widgets/src/views/Icon';
import { visible } from '../../widgets/src/views/plain';
import type { Host } from './host';
import { lookUntil } from './late';
import { Attempt, Find, Item, Loading, MANY, Toggle, matches } from './Settings';
import { Server, Servers, SettingsDoor, Template, words } from './door';

/** How often a login under way is looked after. */
const LOOK_MS = 1500;
const KINDS: Record<Server['kind'], string> = { http: 'web', sandbox: 'in the sandbox', host: 'as you' };

interface Props {
  door: SettingsDoor;
  host: Host;
  attempt: Attempt;
  busy: boolean;
}

export function ServersSection({ door, host, attempt, busy }: Props) {
  const [known, setKnown] = useState<Servers | null>(null);
  const [adding, setAdding] = useState(false);
  const [pages, setPages] = useState<Record<string, string>>({});
  const [sought, setSought] = useState('');
  const [tried, setTried] = useState(false);
  const load = useCallback(async () => setKnown(await door.servers()), [door]);
  useEffect(() => void attempt('', load).then(() => setTried(true)), [load]);
  const waiting = known?.servers.find(server => server.login === 'waiting')?.name;
  useEffect(() => {
    if (!waiting) {
      return;
    }
    const loggedIn = (now: Servers): boolean => now.servers.find(server => server.name === waiting)?.login !== 'waiting';
    return lookUntil(door.servers, loggedIn, () => void test(waiting), LOOK_MS);
  }, [waiting, door]);
  const test = (name: string): Promise<void> =>
    attempt(`Connecting to ${name} …`, async () => {
      const { ok, problem, tools, duration_ms } = await door.test(name);
      await load();
      if (!ok) {
        throw new Error(problem);
      }
      return `${name} answers in ${(duration_ms / 1000).toFixed(1)} s with ${tools.length} ${tools.length === 1 ? 'tool' : 'tools'}.`;
    });
  const login = (name: string): Promise<void> =>
    attempt('Asking where to log in …', async () => {
      const url = await door.login(name);
      if (!url) {
        return test(name);
      }
      window.open(url, '_blank', 'noopener,noreferrer');
      setPages({ ...pages, [name]: url });
      await load();
      return `Log in at ${new URL(url).host} in the tab that has opened.`;
    });
  const remove = async (name: string): Promise<void> => {
    if (await host.confirm(visible(`Remove the server “${name}” and forget the login there?`), 'Remove')) {
      await attempt('Removing …', async () => setKnown(await door.removeServer(name)));
    }
  };
  const shown = known?.servers.filter(server => matches(sought, server.name, server.where, ...server.tools.map(tool => tool.name))) ?? [];
  return (
    <>
      <div className="agk-tools">
        <button type="button" className="agk-primary" disabled={busy} onClick={() => setAdding(!adding)} aria-expanded={adding}>
          <Icon name="plus" /> Add a server
        </button>
        <button type="button" disabled={busy} title="The next prompt has the tools that servers offer then; the model reads its prompt anew once" onClick={() => void attempt('', async () => (await door.refresh(), 'The next prompt has the tools that servers offer then.'))}>
          Refresh tools
        </button>
      </div>
      {adding && <Add door={door} busy={busy} add={(name, template, said) => attempt('Adding …', async () => (setKnown(await door.add(name, template, said)), setAdding(false), `${name} is there. Test it, or just ask for what it can do.`))} />}
      {known?.problems.map(problem => (
        <p key={problem} className="agk-note agk-error">
          {visible(problem)}
        </p>
      ))}
      {known && !known.servers.length && !adding && (
        <div className="agk-teach">
          <Icon name="tools" />
          <strong>No server yet</strong>
          <p>An MCP server lends its tools to the agent: issues of GitHub, messages of Slack, rows of a database. What only reads runs when you allow it, all else asks.</p>
        </div>
      )}
      {!known && <Loading said="Looking which servers there are …" again={tried && !busy ? () => void attempt('', load) : null} />}
      {known && known.servers.length > MANY && <Find what="server" sought={sought} setSought={setSought} found={shown.length} of={known.servers.length} />}
      {shown.map(server => (
        <Item
          key={server.name}
          title={server.name}
          about={server.problem || server.where}
          tags={
            <>
              <span className={`agk-chip ${!server.on ? '' : wantsLogin(server) ? 'agk-demo' : STATES[server.state]}`}>{stateOf(server)}</span>
              <span className="agk-chip">{server.source === 'workspace' ? 'of this folder' : KINDS[server.kind]}</span>
              {server.tools.length > 0 && <span className="agk-dim agk-number">{server.tools.length} tools</span>}
            </>
          }
          control={<Toggle on={server.on} label={`Use ${visible(server.name)}`} disabled={busy} change={on => void attempt('', async () => setKnown(await door.switchServer(server.name, on)))} />}
        >
          {() => (
            <>
              {server.problem && (
                <p className="agk-dim">
                  <code>{visible(server.where)}</code>
                </p>
              )}
              {server.login === 'waiting' && (
                <p>
                  Waits for you to log in{pages[server.name] ? ': ' : ' in the other tab.'}
                  {pages[server.name] && (
                    <a href={pages[server.name]} target="_blank" rel="noopener noreferrer">
                      {visible(new URL(pages[server.name]).host)}
                    </a>
                  )}
                </p>
              )}
              {server.tools.length > 0 && (
                <ul className="agk-tool-list" tabIndex={0} aria-label={`Tools of ${visible(server.name)}`}>
                  {server.tools.map(tool => (
                    <li key={tool.name}>
                      <code>{visible(tool.name)}</code> <span className="agk-dim">{tool.asks ? 'asks' : 'only reads, allowed'}</span>
                    </li>
                  ))}
                </ul>
              )}
              <div className="agk-buttons">
                <button type="button" disabled={busy || !server.on} onClick={() => void test(server.name)}>
                  Test
                </button>
                {(server.login === 'possible' || server.login === 'needed') && (
                  <button type="button" className={server.login === 'needed' ? 'agk-primary' : ''} disabled={busy || !server.on} onClick={() => void login(server.name)}>
                    Log in
                  </button>
                )}
                {server.login === 'waiting' && (
                  <button type="button" disabled={busy} onClick={() => void login(server.name)}>
                    Begin the login anew
                  </button>
                )}
                {server.login === 'kept' && (
                  <button type="button" disabled={busy} onClick={() => void attempt('', async () => (setKnown(await door.logout(server.name)), `The login at ${server.name} is forgotten.`))}>
                    Log out
                  </button>
                )}
                {server.source === 'user' && (
                  <button type="button" className="agk-stop" disabled={busy} onClick={() => void remove(server.name)}>
                    Remove
                  </button>
                )}
              </div>
            </>
          )}
        </Item>
      ))}
    </>
  );
}

const STATES: Record<Server['state'], string> = { connected: 'agk-server-connected', failed: 'agk-server-failed', idle: '', off: '' };

const wantsLogin = ({ login }: Server): boolean => login === 'waiting' || login === 'needed';

function stateOf(server: Server): string {
  if (!server.on) {
    return 'off';
  }
  if (wantsLogin(server)) {
    return 'wants a login';
  }
  return server.state === 'idle' ? 'not needed yet' : server.state;
}

function Add({ door, busy, add }: { door: SettingsDoor; busy: boolean; add: (name: string, template: string, said: object) => Promise<void> }) {
  const [templates, setTemplates] = useState<Template[]>([]);
  const [kind, setKind] = useState('url');
  const [name, setName] = useState('');
  const [where, setWhere] = useState('');
  const id = useId();
  useEffect(() => void door.templates().then(setTemplates, () => setTemplates([])), [door]);
  const template = templates.find(one => one.name === kind);
  const choose = (chosen: string): void => {
    setKind(chosen);
    if (!name || templates.some(one => one.name === name)) {
      setName(templates.some(one => one.name === chosen) ? chosen : '');
    }
  };
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    const [command = '', ...args] = words(where);
    void add(name.trim(), template ? kind : '', template ? {} : kind === 'url' ? { url: where.trim() } : { command, args });
  };
  return (
    <form className="agk-form" onSubmit={submit} autoComplete="off">
      <label htmlFor={`${id}-kind`}>What it is</label>
      <select id={`${id}-kind`} value={kind} onChange={event => choose(event.target.value)}>
        <option value="url">An address (streamable HTTP)</option>
        <option value="command">A program, run in the sandbox</option>
        {templates.map(one => (
          <option key={one.name} value={one.name}>
            {one.name}: {one.says}
          </option>
        ))}
      </select>
      {template && <p className="agk-dim">Needs {template.needs}.</p>}
      <label htmlFor={`${id}-name`}>Name</label>
      <input id={`${id}-name`} value={name} placeholder="board" spellCheck={false} onChange={event => setName(event.target.value)} />
      {!template && (
        <>
          <label htmlFor={`${id}-where`}>{kind === 'url' ? 'Address' : 'Command line'}</label>
          <input id={`${id}-where`} value={where} placeholder={kind === 'url' ? 'https://example.org/mcp' : 'python3 notes.py'} spellCheck={false} onChange={event => setWhere(event.target.value)} />
        </>
      )}
      <div className="agk-buttons">
        <button type="submit" className="agk-primary" disabled={busy || !name.trim() || !(template || where.trim())}>
          Add
        </button>
      </div>
    </form>
  );
}
