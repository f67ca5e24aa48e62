// A whole run: header, plan, timeline, preview, message box. Props only; nothing of Jupyter.
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from 'react';
import { FINAL, RunState, emptyRun, reduceAll } from '../run';
import type { Action, RunSource } from '../source';
import { EntryView } from './EntryView';
import { Header } from './Header';
import { Icon } from './Icon';
import { visible } from './plain';

const WINDOW = 120;
const NEAR_END = 40;

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
      <Timeline run={run} send={send} ended={ended} />
      {run.preview && <Preview url={run.preview.url} />}
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

function Timeline({ run, send, ended }: { run: RunState; send: (action: Action) => void; ended: boolean }) {
  const scroller = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const follows = useRef(true);
  const lastTop = useRef(0);
  const [away, setAway] = useState(false);
  const [extra, setExtra] = useState(0);
  const first = Math.max(0, run.entries.length - WINDOW - extra);
  const entries = first ? run.entries.slice(first) : run.entries;
  const toEnd = useCallback(() => {
    const box = scroller.current;
    if (box) {
      follows.current = true;
      box.scrollTop = box.scrollHeight;
      lastTop.current = box.scrollTop;
      setAway(false);
    }
  }, []);
  useLayoutEffect(() => {
    if (follows.current) {
      toEnd();
    }
  }, [run, toEnd]);
  useEffect(() => {
    // Pictures load and cards open after they were drawn.
    const observer = new ResizeObserver(() => follows.current && toEnd());
    if (content.current) {
      observer.observe(content.current);
    }
    return () => observer.disconnect();
  }, [toEnd]);
  const onScroll = (): void => {
    const box = scroller.current;
    if (!box) {
      return;
    }
    const nearEnd = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_END;
    if (nearEnd || box.scrollTop < lastTop.current - 2) {
      follows.current = nearEnd; // only a reader moves up
    }
    lastTop.current = box.scrollTop;
    setAway(!follows.current);
  };
  return (
    <div className="agk-frame">
      <div className="agk-timeline" ref={scroller} onScroll={onScroll} role="log" aria-label="What the agent does" tabIndex={0}>
        <div className="agk-entries" ref={content}>
        {first > 0 && (
          <button type="button" className="agk-quiet agk-earlier" onClick={() => { follows.current = false; setExtra(extra + WINDOW); }}>
            Show {Math.min(WINDOW, first)} of {first.toLocaleString('en')} earlier steps
          </button>
        )}
        {entries.map(entry => (
          <EntryView key={entry.key} entry={entry} send={send} ended={ended} />
        ))}
        {!run.entries.length && <p className="agk-dim agk-empty">The agent is starting …</p>}
        </div>
      </div>
      {away && !ended && (
        <button type="button" className="agk-latest" onClick={toEnd}>
          Jump to latest
        </button>
      )}
    </div>
  );
}

const STEPS = { completed: '✓', in_progress: '', pending: '' };

function Plan({ run }: { run: RunState }) {
  return (
    <ol className="agk-plan" aria-label="Plan">
      {run.todo.map((item, index) => (
        <li key={index} className={`agk-step agk-step-${item.status}`}>
          <span className="agk-box" aria-hidden="true">
            {STEPS[item.status]}
          </span>
          {visible(item.text)}
          <span className="agk-hidden">, {item.status.replace('_', ' ')}</span>
        </li>
      ))}
    </ol>
  );
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

function Preview({ url }: { url: string }) {
  // Only the web and this server's own paths; and in an origin of its own, where it reads nothing of Jupyter.
  if (!/^(https?:\/\/|\/(?!\/))/i.test(url)) {
    return null;
  }
  return <iframe className="agk-preview" title="Live preview" src={url} sandbox="allow-scripts allow-forms" referrerPolicy="no-referrer" />;
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
