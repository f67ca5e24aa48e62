// A whole run: header, plan, timeline, preview, message box. Props only; nothing of Jupyter.
import { useCallback, useEffect, useRef, useState } from 'react';
import { FINAL, RunState, emptyRun, reduceAll } from '../run';
import type { Action, RunSource } from '../source';
import { Header } from './Header';
import { Icon } from './Icon';
import { Plan } from './Plan';
import { Preview } from './Preview';
import { Timeline } from './Timeline';
import { visible } from './plain';

export function RunView({ source }: { source: RunSource }) {
  const run = useRun(source);
  const info = useInfo(source);
  const [notice, setNotice] = useState('');
  const send = useCallback((action: Action) => source.send(action), [source]);
  useEffect(() => source.onNotice(setNotice), [source]);
  const ended = FINAL.has(run.status);
  return (
    <section className="agk" aria-label="Agent run">
      <Header run={run} info={info} send={send} />
      {run.todo.length > 0 && <Plan run={run} />}
      <Timeline entries={run.entries} send={send} ended={ended} empty="The agent is starting …" />
      <Preview served={run.served} open={source.openPreview} />
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

function useInfo(source: RunSource) {
  const [info, setInfo] = useState(() => source.info());
  useEffect(() => source.onInfo(() => setInfo(source.info())), [source]);
  return info;
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
