// Something told step by step: by itself at a chosen speed, or by keys.
import { Dispatch, KeyboardEvent, ReactNode, SetStateAction, useEffect, useState } from 'react';
import { Icon } from '../../widgets/src/views/Icon';
import { SPEEDS } from './steps';

export interface Play {
  /** How many steps are seen. */
  at: number;
  last: number;
  playing: boolean;
  speed: number;
  setSpeed: Dispatch<SetStateAction<number>>;
  /** To a step, and stay there. */
  go(place: number): void;
  toggle(): void;
  onKeyDown(event: KeyboardEvent): void;
}

/** `wait` says for how many milliseconds step `at` is looked at. */
export function usePlay(last: number, wait: (at: number, speed: number) => number): Play {
  const [at, setAt] = useState(Math.min(1, last));
  const [playing, setPlaying] = useState(true);
  const [speed, setSpeed] = useState(1);
  useEffect(() => {
    if (!playing || at >= last) {
      setPlaying(playing && at < last);
      return undefined;
    }
    const timer = setTimeout(() => setAt(at + 1), wait(at, speed));
    return () => clearTimeout(timer);
  }, [playing, at, last, speed, wait]);
  const go = (place: number): void => {
    setPlaying(false);
    setAt(Math.min(last, Math.max(0, place)));
  };
  const toggle = (): void => {
    setAt(at >= last ? 0 : at);
    setPlaying(!playing);
  };
  const change = (by: number): void => setSpeed(SPEEDS[Math.min(SPEEDS.length - 1, Math.max(0, SPEEDS.indexOf(speed) + by))]!);
  const onKeyDown = (event: KeyboardEvent): void => {
    const keys: Record<string, () => void> = {
      ' ': toggle,
      ArrowRight: () => go(at + 1),
      ArrowLeft: () => go(at - 1),
      Home: () => go(0),
      End: () => go(last),
      '+': () => change(1),
      '-': () => change(-1)
    };
    const { tagName } = event.target as HTMLElement;
    const own = /^(TEXTAREA|SELECT|INPUT)$/.test(tagName) || (event.key === ' ' && tagName === 'BUTTON');
    const act = own ? undefined : keys[event.key];
    if (act) {
      event.preventDefault();
      act();
    }
    event.stopPropagation(); // JupyterLab has shortcuts on plain letters
  };
  return { at, last, playing, speed, setSpeed, go, toggle, onKeyDown };
}

export function Controls({ play, close, children }: { play: Play; close: () => void; children?: ReactNode }) {
  const { at, last, playing, speed, setSpeed, go, toggle } = play;
  return (
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
      {children}
      <span className="agk-space" />
      <button type="button" className="agk-quiet" aria-label="Close the replay" title="Close the replay" onClick={close}>
        <Icon name="close" />
      </button>
    </div>
  );
}
