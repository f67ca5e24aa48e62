// What happened, in order: it follows its end until a reader moves up, and draws the last steps of a long run.
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from 'react';
import type { Entry } from '../run';
import type { Action } from '../source';
import { EntryView, lastOf } from './EntryView';

const WINDOW = 120;
const NEAR_END = 40;

interface Props {
  entries: Entry[];
  send: (action: Action) => void;
  ended: boolean;
  empty: string;
  /** How many steps are drawn at first. */
  most?: number;
  /** Go on from behind an event. */
  fork?: ((seq: number) => void) | undefined;
  /** The event it is being gone on from. */
  from?: number;
}

export function Timeline({ entries: all, send, ended, empty, most = WINDOW, fork, from = 0 }: Props) {
  const scroller = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const follows = useRef(true);
  const lastTop = useRef(0);
  const [away, setAway] = useState(false);
  const [extra, setExtra] = useState(0);
  const first = Math.max(0, all.length - most - extra);
  const entries = first ? all.slice(first) : all;
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
  }, [all, toEnd]);
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
          <EntryView key={entry.key} entry={entry} send={send} ended={ended} fork={fork} chosen={from > 0 && lastOf(entry) === from} />
        ))}
        {!all.length && <p className="agk-dim agk-empty">{empty}</p>}
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
