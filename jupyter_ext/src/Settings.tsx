// Skills and MCP servers: what the agent knows how to do, and whose tools it may use.
import { ReactNode, useEffect, useMemo, useRef, useState } from 'react';
import { Icon } from '../../widgets/src/views/Icon';
import { visible } from '../../widgets/src/views/plain';
import type { Host } from './host';
import type { Hub } from './hub';
import { ServersSection } from './ServersSection';
import { whileWanted } from './late';
import { SkillsSection } from './SkillsSection';
import { SettingsDoor, sentenceOf } from './door';

type Part = 'skills' | 'servers';
const PARTS: Array<[Part, string, string]> = [
  ['skills', 'Skills', 'skill'],
  ['servers', 'MCP servers', 'tools']
];

/** Does something, and keeps what came of it to be read: `attempt('Testing …', work)`. */
export type Attempt = (doing: string, work: () => Promise<string | void>) => Promise<void>;

interface Props {
  hub: Hub;
  host: Host;
  /** The session that is looked at; without one, that of the folder. */
  session: string | null;
  folder: string;
  close: () => void;
}

export function Settings({ hub, host, session, folder, close }: Props) {
  const [part, setPart] = useState<Part>('skills');
  const [own, setOwn] = useState(session);
  const [said, setSaid] = useState<{ text: string; bad?: boolean }>({ text: '' });
  const [busy, setBusy] = useState(false);
  const view = useRef<HTMLElement>(null);
  const door = useMemo(() => (own ? new SettingsDoor(hub.api, own) : null), [hub, own]);
  useEffect(() => view.current?.focus(), []);
  useEffect(() => {
    if (session) {
      setOwn(session);
      return;
    }
    let gone = false;
    void whileWanted(
      hub.api.openSession({ workspace: folder || '.' }),
      () => !gone,
      found => setOwn(found.id),
      error => setSaid({ text: sentenceOf(error), bad: true })
    );
    return () => {
      gone = true;
    };
  }, [hub, session, folder]);
  const attempt: Attempt = async (doing, work) => {
    setBusy(true);
    setSaid({ text: doing });
    try {
      setSaid({ text: (await work()) ?? '' });
    } catch (error) {
      setSaid({ text: sentenceOf(error), bad: true });
    } finally {
      setBusy(false);
    }
  };
  return (
    <section className="agk-settings" aria-label="Settings of the agent" ref={view} tabIndex={-1} onKeyDown={event => event.stopPropagation()}>
      <header className="agk-top">
        <button type="button" className="agk-quiet" onClick={close}>
          <Icon name="back" /> Back
        </button>
        <span className="agk-segments" role="group" aria-label="Which settings">
          {PARTS.map(([name, label, icon]) => (
            <button key={name} type="button" aria-pressed={part === name} onClick={() => (setPart(name), setSaid({ text: '' }))}>
              <Icon name={icon} /> {label}
            </button>
          ))}
        </span>
      </header>
      <p className={said.bad ? 'agk-note agk-error' : 'agk-note agk-dim'} role="status" hidden={!said.text}>
        {visible(said.text)}
      </p>
      <div className="agk-scroll">
        {door && part === 'skills' && <SkillsSection door={door} switching={!!session} host={host} attempt={attempt} busy={busy} />}
        {door && part === 'servers' && <ServersSection door={door} host={host} attempt={attempt} busy={busy} />}
      </div>
    </section>
  );
}

/** So many things of a list, and it can be searched. */
export const MANY = 8;

/** Whether every word that is `sought` is in one of the texts. */
export function matches(sought: string, ...texts: string[]): boolean {
  const all = texts.join('\n').toLowerCase();
  return sought.toLowerCase().split(/\s+/).every(word => all.includes(word));
}

export function Find({ what, sought, setSought, found, of }: { what: string; sought: string; setSought: (text: string) => void; found: number; of: number }) {
  return (
    <div className="agk-sought">
      <input type="search" aria-label={`Find a ${what}`} placeholder={`Find a ${what}`} spellCheck={false} value={sought} onChange={event => setSought(event.target.value)} />
      <span className="agk-dim agk-number" role="status">
        {sought.trim() ? `${found} of ${of}` : `${of} ${what}s`}
      </span>
    </div>
  );
}

/** Until there is something to show; `again` once that has failed. */
export function Loading({ said, again }: { said: string; again: (() => void) | null }) {
  return again ? (
    <button type="button" onClick={again}>
      <Icon name="retry" /> Try again
    </button>
  ) : (
    <p className="agk-dim agk-loading" role="status">
      {said}
    </p>
  );
}

/** A switch that says what it is for. */
export function Toggle({ on, label, disabled, change }: { on: boolean; label: string; disabled: boolean; change: (on: boolean) => void }) {
  return (
    <button type="button" role="switch" className="agk-switch" aria-checked={on} aria-label={label} title={label} disabled={disabled} onClick={() => change(!on)}>
      <span />
    </button>
  );
}

/** One thing of a list; what it holds is shown when it is opened. */
export function Item({ title, about, tags, control, children }: { title: string; about: string; tags: ReactNode; control: ReactNode; children: () => ReactNode }) {
  const [open, setOpen] = useState(false);
  return (
    <article className="agk-thing" aria-label={visible(title)}>
      <div className="agk-thing-head">
        <button type="button" className="agk-thing-name" aria-expanded={open} onClick={() => setOpen(!open)}>
          <strong>{visible(title)}</strong>
          {tags}
          <span className="agk-thing-about">{visible(about)}</span>
        </button>
        {control}
      </div>
      {open && <div className="agk-thing-body">{children()}</div>}
    </article>
  );
}
