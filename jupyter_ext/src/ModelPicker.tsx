// The model of the next run: one that was used before, or another by its name.
import { useEffect, useMemo, useRef, useState } from 'react';
import { visible } from '../../widgets/src/views/plain';
import type { RunRow } from './api';

interface Props {
  value: string;
  fallback: string;
  runs: readonly RunRow[];
  choose: (model: string) => void;
}

const MOST_NAMES = 12;

export function ModelPicker({ value, fallback, runs, choose }: Props) {
  const [typing, setTyping] = useState(false);
  const names = useMemo(() => [...new Set([value, fallback, ...runs.map(row => row.model), 'demo'])].filter(Boolean).slice(0, MOST_NAMES), [value, fallback, runs]);
  const box = useRef<HTMLInputElement>(null);
  useEffect(() => {
    box.current?.focus();
  }, [typing]);
  if (typing) {
    const done = (): void => {
      choose(box.current?.value.trim() || value);
      setTyping(false);
    };
    return (
      <input
        ref={box}
        className="agk-pick"
        aria-label="Name of the model"
        placeholder="Name of the model"
        onBlur={done}
        onKeyDown={event => {
          event.stopPropagation();
          if (event.key === 'Enter') {
            event.preventDefault();
            done();
          }
        }}
      />
    );
  }
  return (
    <select className="agk-pick" aria-label="Model" title="Model" value={value || fallback} onChange={event => (event.target.value ? choose(event.target.value) : setTyping(true))}>
      {names.map(name => (
        <option key={name} value={name}>
          {name === 'demo' ? 'demo: no AI' : visible(name)}
        </option>
      ))}
      <option value="">Another model …</option>
    </select>
  );
}
