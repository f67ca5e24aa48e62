// A run that has ended, step by step: played at a chosen speed, walked through by keys, and gone on from anywhere.
import { FormEvent, KeyboardEvent, useEffect, useMemo, useRef, useState } from 'react';
import type { AnyEvent } from '../../widgets/src/events';
import { RunState, emptyRun, reduceAll } from '../../widgets/src/run';
import type { Action } from '../../widgets/src/source';
import { Icon } from '../../widgets/src/views/Icon';
import { Plan } from '../../widgets/src/views/Plan';
import { Timeline } from '../../widgets/src/views/Timeline';
import type { RunRow } from './api';
import type { Hub } from './hub';
import { Skeleton } from './RunList';
import { SPEEDS, pause, stepsOf } from './steps';

const MOST_DRAWN = 40;

export function Replay({ hub, row, send }: { hub: Hub; row: RunRow; send: (action: Action) => void }) {
  const events = useEvents(hub, row.id);
  return events ? <Player hub={hub} row={row} events={events} send={send} /> : <Skeleton />;
}

function Player({ hub, row, events, send }: { hub: Hub; row: RunRow; events: AnyEvent[]; send: (action: Action) => void }) {
  const steps = useMemo(() => stepsOf(events), [events]);
  const [at, setAt] = useState(Math.min(1, steps.length));
  const [playing, setPlaying] = useState(true);
  const [speed, setSpeed] = useState(1);
  const [forking, setForking] = useState(false);
  const run = useFold(events, steps, at);
  const last = steps.length;

  useEffect(() => {
    if (!playing || at >= last) {
      setPlaying(playing && at < last);
      return undefined;
    }
    const timer = setTimeout(() => setAt(at + 1), pause(events, steps, at, speed));
    return () => clearTimeout(timer);
  }, [playing, at, last, speed, events, steps]);

  const go = (place: number): void => {
    setPlaying(false);
    setAt(Math.min(last, Math.max(0, place)));
  };
  const toggle = (): void => {
    setAt(at >= last ? 0 : at);
    setPlaying(!playing);
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const faster = SPEEDS[Math.min(SPEEDS.length - 1, SPEEDS.indexOf(speed) + 1)]!;
    const slower = SPEEDS[Math.max(0, SPEEDS.indexOf(speed) - 1)]!;
    const keys: Record<string, () => void> = {
      ' ': toggle,
      ArrowRight: () => go(at + 1),
      ArrowLeft: () => go(at - 1),
      Home: () => go(0),
      End: () => go(last),
      '+': () => setSpeed(faster),
      '-': () => setSpeed(slower)
    };
    const written = /^(TEXTAREA|SELECT|INPUT)$/.test((event.target as HTMLElement).tagName) || (event.key === ' ' && (event.target as HTMLElement).tagName === 'BUTTON');
    const act = written ? undefined : keys[event.key];
    if (act) {
      event.preventDefault();
      act();
    }
    event.stopPropagation(); // JupyterLab has shortcuts on plain letters
  };
  const seq = at ? events[steps[at - 1]!]!.seq : 1;
  return (
    <section className="agk-replay" aria-label="Replay" onKeyDown={onKeyDown}>
      {run.todo.length > 0 && <Plan run={run} />}
      <div className="agk-view">
        <Timeline entries={run.entries} send={send} ended empty="The run begins here." most={MOST_DRAWN} />
      </div>
      {forking && <Fork hub={hub} row={row} seq={seq} step={at} close={() => setForking(false)} />}
      <div className="agk-player" role="group" aria-label="Replay controls">
        <button type="button" className="agk-quiet" aria-label="Step back" title="Step back (←)" disabled={at === 0} onClick={() => go(at - 1)}>
          <Icon name="stepback" />
        </button>
        <button type="button" className="agk-quiet" aria-label={playing ? 'Pause the replay' : 'Play'} title={playing ? 'Pause (space)' : 'Play (space)'} onClick={toggle}>
          <Icon name={playing ? 'pause' : 'play'} />
        </button>
        <button type="button" className="agk-quiet" aria-label="Step forward" title="Step forward (→)" disabled={at === last} onClick={() => go(at + 1)}>
          <Icon name="stepforward" />
        </button>
        <input type="range" min={0} max={last} value={at} aria-label="Step" aria-valuetext={`Step ${at} of ${last}`} onChange={event => go(Number(event.target.value))} />
        <span className="agk-dim agk-number">
          {at}/{last}
        </span>
        <select className="agk-pick" aria-label="Speed" title="Speed (+ and -)" value={speed} onChange={event => setSpeed(Number(event.target.value))}>
          {SPEEDS.map(value => (
            <option key={value} value={value}>
              {value}×
            </option>
          ))}
        </select>
        <button type="button" aria-expanded={forking} title="Go on from this step, in a conversation of its own" onClick={() => (setPlaying(false), setForking(!forking))}>
          <Icon name="fork" /> Fork from here
        </button>
        <span className="agk-space" />
        <button type="button" className="agk-quiet" aria-label="Close the replay" title="Close the replay" onClick={() => hub.replay(null)}>
          <Icon name="close" />
        </button>
      </div>
    </section>
  );
}

function Fork({ hub, row, seq, step, close }: { hub: Hub; row: RunRow; seq: number; step: number; close: () => void }) {
  const [prompt, setPrompt] = useState('');
  const [restore, setRestore] = useState(false);
  const [busy, setBusy] = useState(false);
  const submit = async (event: FormEvent): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    await hub.fork(row.id, seq, prompt, restore).then(close, hub.say);
    setBusy(false);
  };
  return (
    <form className="agk-fork" aria-label="Fork" onSubmit={event => void submit(event)}>
      <textarea rows={2} value={prompt} autoFocus aria-label="What to do instead" placeholder={`What to do after step ${step}. Empty: what it would have done.`} onChange={event => setPrompt(event.target.value)} />
      <label>
        <input type="checkbox" checked={restore} onChange={event => setRestore(event.target.checked)} /> Put the files back to how they were then
      </label>
      <div className="agk-buttons">
        <button type="submit" className="agk-primary" disabled={busy}>
          Go on from here
        </button>
        <button type="button" onClick={close}>
          Cancel
        </button>
        <span className="agk-dim">This run stays as it is.</span>
      </div>
    </form>
  );
}

/** Forward it goes on with what it has; back, from the beginning. */
function useFold(events: AnyEvent[], steps: number[], at: number): RunState {
  const kept = useRef({ upTo: 0, run: emptyRun() });
  return useMemo(() => {
    const upTo = at ? steps[at - 1]! + 1 : 0;
    const { upTo: from, run } = kept.current.upTo <= upTo ? kept.current : { upTo: 0, run: emptyRun() };
    kept.current = { upTo, run: reduceAll(run, events.slice(from, upTo)) };
    return kept.current.run;
  }, [events, steps, at]);
}

function useEvents(hub: Hub, run: string): AnyEvent[] | null {
  const [events, setEvents] = useState<AnyEvent[] | null>(null);
  useEffect(() => {
    let gone = false;
    const read = async (): Promise<void> => {
      const found: AnyEvent[] = [];
      for await (const page of hub.api.events(run, 0)) {
        found.push(...page);
      }
      if (!gone) {
        setEvents(found);
      }
    };
    read().catch(error => (hub.say(error), hub.replay(null)));
    return () => {
      gone = true;
    };
  }, [hub, run]);
  return events;
}
