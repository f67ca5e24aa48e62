// A run that has ended, step by step: played at a chosen speed, walked through by keys, and gone on from anywhere.
import { useCallback, useEffect, useMemo, useRef, useState } from 'react';
import type { AnyEvent } from '../../widgets/src/events';
import { RunState, emptyRun, reduceAll } from '../../widgets/src/run';
import type { Action } from '../../widgets/src/source';
import { Icon } from '../../widgets/src/views/Icon';
import { Plan } from '../../widgets/src/views/Plan';
import { Timeline } from '../../widgets/src/views/Timeline';
import type { RunRow } from './api';
import { Fork } from './Fork';
import type { Hub } from './hub';
import { whileWanted } from './late';
import { Controls, usePlay } from './Player';
import { Skeleton } from './RunList';
import { pause, stepsOf } from './steps';

const MOST_DRAWN = 40;

export function Replay({ hub, row, send }: { hub: Hub; row: RunRow; send: (action: Action) => void }) {
  const events = useEvents(hub, row.id);
  return events ? <Player hub={hub} row={row} events={events} send={send} /> : <Skeleton />;
}

function Player({ hub, row, events, send }: { hub: Hub; row: RunRow; events: AnyEvent[]; send: (action: Action) => void }) {
  const steps = useMemo(() => stepsOf(events), [events]);
  const wait = useCallback((at: number, speed: number) => pause(events, steps, at, speed), [events, steps]);
  const play = usePlay(steps.length, wait);
  const [forking, setForking] = useState(false);
  const { at } = play;
  const run = useFold(events, steps, at);
  const seq = at ? events[steps[at - 1]!]!.seq : 1;
  return (
    <section className="agk-replay" aria-label="Replay" onKeyDown={play.onKeyDown}>
      {run.todo.length > 0 && <Plan run={run} />}
      <div className="agk-view">
        <Timeline entries={run.entries} send={send} ended empty="The run begins here." most={MOST_DRAWN} />
      </div>
      {forking && <Fork hub={hub} row={row} seq={seq} after={`step ${at}`} close={() => setForking(false)} />}
      <Controls play={play} close={() => void hub.replay(null)}>
        <button type="button" aria-expanded={forking} title="Go on from this step, in a conversation of its own" onClick={() => (play.go(at), setForking(!forking))}>
          <Icon name="fork" /> Fork from here
        </button>
      </Controls>
    </section>
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
    const read = async (): Promise<AnyEvent[]> => {
      const found: AnyEvent[] = [];
      for await (const page of hub.api.events(run, 0)) {
        found.push(...page);
      }
      return found;
    };
    void whileWanted(read(), () => !gone, setEvents, error => (hub.say(error), void hub.replay(null)));
    return () => {
      gone = true;
    };
  }, [hub, run]);
  return events;
}
