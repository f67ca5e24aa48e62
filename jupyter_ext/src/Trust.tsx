// Files of a workspace that would instruct the agent: a person looks at them before they count.
import { useEffect, useState } from 'react';
import { Icon } from '../../widgets/src/views/Icon';
import { oneLine, visible } from '../../widgets/src/views/plain';
import { languageOf } from '../../widgets/src/views/rows';
import { Code } from '../../widgets/src/views/text';
import type { Asking } from './api';
import type { Hub } from './hub';

const LATER = 'agent-kernel:not-now';
const MOST_FILES = 30;

const SAYS: Record<Asking['kind'], [icon: string, question: string, becomes: string]> = {
  skill: ['skill', 'Let the agent follow the skill', 'The agent follows what it says.'],
  agent: ['chat', 'Let runs work as the agent', 'It follows its prompt, and can only narrow what is allowed.'],
  mcp: ['tools', 'Let the agent use the servers of', 'Its programs run in the sandbox, its addresses are asked.']
};

interface Props {
  hub: Hub;
  workspace: string;
  session: string | null;
  /** Changes when the workspace may have: a run has ended. */
  after: string;
  /** What else is shown here has come: the server is to bring that first. */
  ready: boolean;
}

/** One question at a time; nothing where nothing waits. */
export function Trust({ hub, workspace, session, after, ready }: Props) {
  const [waiting, setWaiting] = useState<Asking[]>([]);
  const [later, setLater] = useState(putOff);
  useEffect(() => {
    let gone = false;
    if (ready) {
      hub.api.asking(workspace).then(
        found => !gone && setWaiting(found),
        () => !gone && setWaiting([])
      );
    }
    return () => {
      gone = true;
    };
  }, [hub, workspace, after, ready]);
  const asked = waiting.find(one => !later.includes(one.hash));
  if (!asked) {
    return null;
  }
  const trust = async (): Promise<void> => {
    try {
      setWaiting(await hub.api.trust(workspace, asked));
      if (session && asked.kind === 'mcp') {
        await hub.api.refreshTools(session);
      }
    } catch (error) {
      hub.say(error);
      setWaiting(await hub.api.asking(workspace).catch(() => []));
    }
  };
  const notNow = (): void => {
    const all = [...later, asked.hash];
    sessionStorage.setItem(LATER, JSON.stringify(all));
    setLater(all);
  };
  return <Question key={asked.hash} asked={asked} more={waiting.length - 1} trust={trust} notNow={notNow} />;
}

function Question({ asked, more, trust, notNow }: { asked: Asking; more: number; trust: () => Promise<void>; notNow: () => void }) {
  const [open, setOpen] = useState(false);
  const [busy, setBusy] = useState(false);
  const [icon, question, becomes] = SAYS[asked.kind];
  return (
    <section className="agk-trust" aria-label="Trust of workspace files">
      <h4>
        <Icon name={icon} /> {question} <strong>{visible(asked.name)}</strong>?
      </h4>
      <p>{oneLine(asked.about, 300)}</p>
      <p className="agk-dim">
        From <code>{visible(asked.place)}</code>. {becomes} A change asks again.
      </p>
      {open && (
        <div className="agk-looked">
          {asked.files.slice(0, MOST_FILES).map((file, place) => (
            <details key={file.path} open={place === 0}>
              <summary>
                <code>{visible(file.path)}</code> <span className="agk-dim">{file.size.toLocaleString('en')} bytes{file.executable ? ', a program' : ''}</span>
              </summary>
              {file.text ? <Code text={file.text} language={languageOf(file.path)} /> : <p className="agk-dim">No text to show.</p>}
              {file.cut && file.text && <p className="agk-dim">Only its beginning is shown here: open the file to read on.</p>}
            </details>
          ))}
          {asked.files.length > MOST_FILES && <p className="agk-dim">… and {asked.files.length - MOST_FILES} more files.</p>}
        </div>
      )}
      <div className="agk-buttons">
        <button type="button" aria-expanded={open} onClick={() => setOpen(!open)}>
          {open ? 'Hide' : 'Look at it'}
        </button>
        <button
          type="button"
          className="agk-primary"
          disabled={busy}
          onClick={() => {
            setBusy(true);
            void trust().finally(() => setBusy(false));
          }}
        >
          Trust
        </button>
        <button type="button" onClick={notNow}>
          Not now
        </button>
        {more > 0 && <span className="agk-dim">{more} more to look at</span>}
      </div>
    </section>
  );
}

function putOff(): string[] {
  try {
    const kept = JSON.parse(sessionStorage.getItem(LATER) ?? '[]') as unknown;
    return Array.isArray(kept) ? kept.map(String) : [];
  } catch {
    return [];
  }
}
