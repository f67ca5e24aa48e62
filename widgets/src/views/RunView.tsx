// A whole run: header, plan, timeline, preview, message box. Props only; nothing of Jupyter.
import { ReactNode, useCallback, useEffect, useRef, useState } from 'react';
import { FINAL, RunState, emptyRun, reduceAll } from '../run';
import type { Action, Info, ModelDoor, ModelKnown, OpenPreview, RunSource } from '../source';
import { Header } from './Header';
import { Icon } from './Icon';
import { Plan } from './Plan';
import { Preview } from './Preview';
import { Setup } from './Setup';
import { Timeline } from './Timeline';
import { useHeard } from './heard';
import { visible } from './plain';

export function RunView({ source }: { source: RunSource }) {
  const run = useRun(source);
  const info = useHeard(source, () => source.info(), heard => source.onInfo(heard));
  const [notice, setNotice] = useState('');
  const send = useCallback((action: Action) => source.send(action), [source]);
  useEffect(() => source.onNotice(setNotice), [source]);
  if (info.setup) {
    return <FirstUse {...(source.model ? { door: source.model } : {})} skip={() => send({ kind: 'skip' })} />;
  }
  return <RunBody run={run} info={info} send={send} notice={notice} open={source.openPreview} />;
}

interface Body {
  run: RunState;
  info: Info;
  send: (action: Action) => void;
  notice: string;
  open: OpenPreview | undefined;
  /** What there is to say before anything else. */
  children?: ReactNode;
}

/** The run as it stands, for whoever has its fold. */
export function RunBody({ run, info, send, notice, open, children }: Body) {
  const ended = FINAL.has(run.status);
  return (
    <section className="agk" aria-label="Agent run">
      {children}
      <Header run={run} info={info} send={send} />
      {run.todo.length > 0 && <Plan run={run} />}
      <Timeline entries={run.entries} send={send} ended={ended} empty="The agent is starting …" />
      <Preview run={run} open={open} send={send} ended={ended} />
      {notice && (
        <p className="agk-error" role="alert">
          <Icon name="warning" /> <span>{notice}</span>
        </p>
      )}
      {!ended && <MessageBox send={send} />}
      {ended && run.files.size > 0 && <Files run={run} send={send} />}
    </section>
  );
}

/** The first cell of somebody without a model. Its kernel sees that one is set up, and begins. */
function FirstUse({ door, skip }: { door?: ModelDoor; skip: () => void }) {
  const [known, setKnown] = useState<ModelKnown>({ by: '', model: '', base_url: '', key: false, demo: false });
  useEffect(() => {
    if (door) {
      void door.get().then(setKnown, () => undefined);
    } else {
      skip(); // the run says what is missing
    }
  }, [door]);
  if (known.by) {
    return <p className="agk agk-note agk-starting" role="status">The model is set up. The agent is starting …</p>;
  }
  return (
    <section className="agk" aria-label="First use">
      {door && <Setup door={door} known={known} changed={setKnown} then="Then your prompt runs." close={skip} />}
    </section>
  );
}

/** Events are folded as they come; at most one new state a frame reaches React. */
function useRun(source: RunSource): RunState {
  const [run, setRun] = useState(emptyRun);
  const latest = useRef(run);
  useEffect(() => {
    let frame = 0;
    const off = source.subscribe(events => {
      latest.current = reduceAll(latest.current, events);
      if (latest.current.gap) {
        latest.current = { ...latest.current, gap: false };
        source.resend(latest.current.seq);
      }
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        setRun(latest.current);
      });
    });
    return () => {
      cancelAnimationFrame(frame);
      off();
    };
  }, [source]);
  return run;
}

function Files({ run, send }: { run: RunState; send: (action: Action) => void }) {
  return (
    <footer className="agk-files">
      {[...run.files.values()].map(file => (
        <span key={file.path} className="agk-chip">
          <code>{visible(file.path)}</code>
          <span className="agk-plus">{file.added ? `+${file.added}` : ''}</span>
          <span className="agk-minus">{file.removed ? `−${file.removed}` : ''}</span>
        </span>
      ))}
      <span className="agk-space" />
      <button type="button" className="agk-quiet" onClick={() => send({ kind: 'undo', call_id: null })}>
        Undo all changes
      </button>
    </footer>
  );
}

function MessageBox({ send }: { send: (action: Action) => void }) {
  const [text, setText] = useState('');
  const submit = (): void => {
    if (text.trim()) {
      send({ kind: 'message', text });
      setText('');
    }
  };
  return (
    <form
      className="agk-say"
      onSubmit={event => {
        event.preventDefault();
        submit();
      }}
    >
      <textarea
        rows={1}
        value={text}
        placeholder="Steer the agent …"
        aria-label="Message to the agent"
        onChange={event => setText(event.target.value)}
        onKeyDown={event => {
          event.stopPropagation(); // JupyterLab has shortcuts on plain letters
          if (event.key === 'Enter' && !event.shiftKey && !event.nativeEvent.isComposing) {
            event.preventDefault();
            submit();
          }
        }}
      />
      <button type="submit" disabled={!text.trim()} aria-label="Send">
        <Icon name="send" />
      </button>
    </form>
  );
}
