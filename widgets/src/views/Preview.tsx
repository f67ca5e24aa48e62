// What the agent serves: a frame in an origin of its own, with an address bar. Hosts say how it is reached.
import { FormEvent, KeyboardEvent, useCallback, useEffect, useState } from 'react';
import type { BrowserUpdateEvent } from '../events';
import { RunState } from '../run';
import type { Action, OpenPreview, PreviewAddress } from '../source';
import { Icon } from './Icon';
import { visible } from './plain';

const DEVICES = [
  { name: 'Phone', icon: 'phone', width: 390 },
  { name: 'Tablet', icon: 'tablet', width: 820 },
  { name: 'Full width', icon: 'desktop', width: 0 }
] as const;
const SANDBOX = 'allow-scripts allow-forms allow-popups allow-modals allow-downloads';
/** Addresses that end are renewed this long before they do, in milliseconds. */
const EARLY = 30_000;
const LONGEST_TIMER = 2_000_000_000;

interface Props {
  run: RunState;
  open?: OpenPreview;
  send: (action: Action) => void;
  ended: boolean;
}

/** The server that was started last, unless another is chosen. */
export function Preview({ run, open, send, ended }: Props) {
  const { served } = run;
  const [chosen, setChosen] = useState<number | null>(null);
  const live = served.filter(one => one.live);
  const shown = live.find(one => one.port === chosen) ?? live[live.length - 1] ?? served[served.length - 1];
  if (!shown) {
    return null;
  }
  if (!open && shown.kind === 'desktop') {
    return (
      <p className="agk-served">
        <Icon name="desktop" /> {shown.live ? 'A desktop runs' : 'A desktop ran'} in the sandbox; the panel shows it.
      </p>
    );
  }
  if (!open) {
    return (
      <p className="agk-served">
        <Icon name="preview" /> {shown.live ? 'Served' : 'No longer served'} in the sandbox: <code>{visible(shown.url)}</code>
      </p>
    );
  }
  const key = `${shown.port}:${shown.since}`; // what else becomes known of it loads nothing again
  return (
    <section className="agk-preview" aria-label="Live preview" onKeyDown={stop}>
      {live.length > 1 && (
        <div className="agk-ports" role="group" aria-label="Servers">
          {live.map(one => (
            <button key={one.port} type="button" aria-pressed={one === shown} onClick={() => setChosen(one.port)}>
              {visible(one.title) || 'Port'} {one.kind !== 'desktop' && <span className="agk-dim">:{one.port}</span>}
            </button>
          ))}
        </div>
      )}
      {!shown.live ? (
        <Gone served={shown} />
      ) : shown.kind === 'desktop' ? (
        <Desktop key={key} served={shown} open={open} send={send} person={run.personActs} ended={ended} />
      ) : (
        <Browser key={key} served={shown} open={open} />
      )}
    </section>
  );
}

/** JupyterLab has shortcuts on plain letters. */
function stop(event: KeyboardEvent): void {
  event.stopPropagation();
}

function Gone({ served }: { served: BrowserUpdateEvent }) {
  return (
    <p className="agk-stage agk-said" role="status">
      <Icon name="preview" />
      <span>
        {served.kind === 'desktop' ? 'The desktop' : `The server on port ${served.port}`} has ended. Ask the agent to start it again.
      </span>
    </p>
  );
}

function Browser({ served, open }: { served: BrowserUpdateEvent; open: OpenPreview }) {
  const [address, problem, retry] = useAddress(served, open);
  const [path, setPath] = useState(() => pathOf(served.url));
  const [shownPath, setShownPath] = useState(path);
  const [loads, setLoads] = useState(0);
  const [width, setWidth] = useState(0);
  const [loading, setLoading] = useState(true);
  const src = address ? join(address.url, shownPath) : '';
  const go = (event: FormEvent): void => {
    event.preventDefault();
    const wanted = pathOf(path);
    setPath(wanted);
    setShownPath(wanted);
    reload();
  };
  const reload = (): void => {
    setLoading(true);
    setLoads(count => count + 1);
  };
  return (
    <>
      <form className="agk-place" onSubmit={go}>
        <button type="button" className="agk-quiet" disabled={!address} aria-label="Reload" title="Reload" onClick={reload}>
          {loading && address ? <span className="agk-spinner" aria-hidden="true" /> : <Icon name="retry" />}
        </button>
        <label className="agk-address">
          <span className="agk-dim">localhost:{served.port}</span>
          <input
            value={path}
            spellCheck={false}
            autoComplete="off"
            aria-label={`Path on port ${served.port}`}
            onChange={event => setPath(event.target.value)}
          />
        </label>
        <span className="agk-devices" role="group" aria-label="Width">
          {DEVICES.map(device => (
            <button
              key={device.name}
              type="button"
              className="agk-quiet"
              aria-label={device.name}
              title={device.name}
              aria-pressed={width === device.width}
              onClick={() => setWidth(device.width)}
            >
              <Icon name={device.icon} />
            </button>
          ))}
        </span>
        <NewTab src={src} />
      </form>
      <div className="agk-stage" aria-busy={loading && !problem}>
        {problem ? (
          <Problem text={problem} retry={retry} />
        ) : src ? (
          <iframe
            key={loads}
            className={width ? 'agk-app agk-narrow' : 'agk-app'}
            style={width ? { width } : undefined}
            title={visible(served.title) || `Live preview of port ${served.port}`}
            src={src}
            sandbox={SANDBOX}
            referrerPolicy="no-referrer"
            onLoad={() => setLoading(false)}
          />
        ) : (
          <p className="agk-said" role="status">
            <span className="agk-spinner" aria-hidden="true" /> Opening port {served.port} …
          </p>
        )}
      </div>
    </>
  );
}

interface DesktopProps {
  served: BrowserUpdateEvent;
  open: OpenPreview;
  send: (action: Action) => void;
  person: boolean;
  ended: boolean;
}

/** The sandbox's screen. It is watched, until a person takes it over; once the run has ended nobody else uses it. */
function Desktop({ served, open, send, person, ended }: DesktopProps) {
  const [address, problem, retry] = useAddress(served, open);
  const [loading, setLoading] = useState(true);
  const acts = person || ended;
  const src = address ? join(address.url, acting(pathOf(served.url), acts)) : '';
  return (
    <>
      <div className="agk-place">
        <span className={acts ? 'agk-holder agk-yours' : 'agk-holder'} role="status">
          <Icon name="desktop" />
          {ended ? 'Yours: the run has ended' : person ? 'Yours: the agent waits' : 'The agent’s desktop, live'}
        </span>
        <span className="agk-space" />
        {!ended && (
          <button type="button" disabled={!address} onClick={() => send({ kind: 'control', action: person ? 'hand-back' : 'take-over' })}>
            {person ? 'Hand back' : 'Take over'}
          </button>
        )}
        <NewTab src={src} />
      </div>
      <div className={acts ? 'agk-stage agk-screen agk-yours' : 'agk-stage agk-screen'} aria-busy={loading && !problem}>
        {problem ? (
          <Problem text={problem} retry={retry} />
        ) : src ? (
          <iframe
            key={String(acts)}
            className="agk-app"
            title={acts ? 'The desktop' : 'The desktop, to watch'}
            src={src}
            sandbox={SANDBOX}
            referrerPolicy="no-referrer"
            onLoad={() => setLoading(false)}
          />
        ) : (
          <p className="agk-said" role="status">
            <span className="agk-spinner" aria-hidden="true" /> Opening the desktop …
          </p>
        )}
      </div>
    </>
  );
}

/** The view's address, to act or to watch. */
function acting(path: string, acts: boolean): string {
  return path.replace('view_only=1', `view_only=${acts ? 0 : 1}`);
}

function NewTab({ src }: { src: string }) {
  return (
    <a
      className="agk-out"
      href={src || undefined}
      target="_blank"
      rel="noopener noreferrer"
      aria-label="Open in a new tab"
      title="Open in a new tab"
      aria-disabled={!src}
    >
      <Icon name="open" />
    </a>
  );
}

function Problem({ text, retry }: { text: string; retry: () => void }) {
  return (
    <p className="agk-said" role="alert">
      <Icon name="warning" /> <span>{visible(text)}</span>
      <button type="button" onClick={retry}>
        Try again
      </button>
    </p>
  );
}

/** Where the app is reached now; asked for again shortly before it ends. */
function useAddress(served: BrowserUpdateEvent, open: OpenPreview): [PreviewAddress | null, string, () => void] {
  const [address, setAddress] = useState<PreviewAddress | null>(null);
  const [problem, setProblem] = useState('');
  const [tries, setTries] = useState(0);
  const { run_id, port } = served;
  useEffect(() => {
    let current = true;
    let timer = 0;
    const ask = async (): Promise<void> => {
      try {
        const found = await open(run_id, port);
        if (!current) {
          return;
        }
        if (!/^(https?:\/\/|\/(?!\/))/i.test(found.url)) {
          throw new Error('The server gave an address that is not of the web.');
        }
        setAddress(found);
        setProblem('');
        if (found.expires_ms) {
          timer = window.setTimeout(() => void ask(), Math.min(LONGEST_TIMER, Math.max(1_000, found.expires_ms - Date.now() - EARLY)));
        }
      } catch (error) {
        if (current) {
          setProblem(error instanceof Error ? error.message : String(error));
        }
      }
    };
    void ask();
    return () => {
      current = false;
      window.clearTimeout(timer);
    };
  }, [open, run_id, port, tries]);
  const retry = useCallback(() => {
    setProblem('');
    setTries(count => count + 1);
  }, []);
  return [address, problem, retry];
}

/** The path in an address, or in what a person typed: `/a?b#c`, `a`, `http://localhost:3000/a`. */
export function pathOf(text: string): string {
  try {
    const url = new URL(text.trim(), 'http://localhost/');
    return url.pathname + url.search + url.hash;
  } catch {
    return '/';
  }
}

/** `path` below `base`, which may end in a query of its own (a signed address). */
export function join(base: string, path: string): string {
  const [front = '', query = ''] = base.split('?', 2);
  const [, beforeHash = '', hash = ''] = /^([^#]*)(#.*)?$/.exec(path) ?? [];
  const whole = front.replace(/\/$/, '') + beforeHash;
  return (query ? `${whole}${whole.includes('?') ? '&' : '?'}${query}` : whole) + hash;
}
