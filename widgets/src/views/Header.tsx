// What the run is doing, in one line, and the buttons that stop it.
import { useEffect, useState } from 'react';
import { FINAL, RunState } from '../run';
import type { Action, Info } from '../source';
import { Icon } from './Icon';
import { money, short } from '../window';
import { visible } from './plain';

const STATES: Record<string, string> = {
  queued: 'Queued',
  running: 'Working',
  waiting: 'Needs you',
  paused: 'Paused',
  completed: 'Done',
  failed: 'Failed',
  cancelled: 'Stopped'
};
const REASONS: Record<string, string> = {
  thinking: 'Thinking',
  executing: 'Working',
  starting: 'Starting',
  desktop: 'Waits for the desktop',
  compacting: 'Summarising the history',
  budget: 'Paused: the budget is used up',
  max_turns: 'Paused: the limit of turns is reached'
};

const ASKED: Record<string, string> = { pause: 'Pauses after this step', cancel: 'Stopping' };

export function Header({ run, info, send }: { run: RunState; info: Info; send: (action: Action) => void }) {
  const ended = FINAL.has(run.status);
  const demo = run.demo || info.demo;
  const done = run.todo.filter(item => item.status === 'completed').length;
  const tokens = run.usage.input_tokens + run.usage.cache_read_tokens + run.usage.cache_write_tokens + run.usage.output_tokens;
  return (
    <header className="agk-header">
      <span className={`agk-status agk-status-${run.status}`} role="status" aria-live="polite">
        <span className="agk-dot" aria-hidden="true" />
        {asked(run) ?? REASONS[run.reason] ?? STATES[run.status] ?? run.status}
      </span>
      <Elapsed run={run} ended={ended} />
      {run.todo.length > 0 && (
        <span className="agk-dim agk-progress" title={`${done} of ${run.todo.length} steps done`}>
          <progress value={done} max={run.todo.length} aria-label="Plan" /> {done}/{run.todo.length}
        </span>
      )}
      <span className="agk-space" />
      {demo ? <span className="agk-chip agk-demo">offline demo, no AI</span> : <Model name={run.model || info.model || ''} />}
      {!demo && tokens > 0 && <span className="agk-dim agk-number">{short(tokens)} tokens</span>}
      {!demo && run.usage.cost_usd ? <span className="agk-dim agk-number">{money(run.usage.cost_usd)}</span> : null}
      {info.agent && (
        <span className="agk-chip" title="Works as this agent definition">
          {visible(info.agent)}
        </span>
      )}
      {info.tier && (
        <span className="agk-chip" title={`Tools act in a sandbox: ${info.tier}`}>
          <Icon name="shield" /> {info.tier}
        </span>
      )}
      {info.permission === 'bypass' && <span className="agk-chip agk-bypass">bypass: nothing asks</span>}
      {info.permission && !['bypass', 'accept-edits'].includes(info.permission) && <span className="agk-chip">{info.permission}</span>}
      {!ended && (
        <span className="agk-buttons">
          {run.status === 'paused' || run.control === 'pause' ? (
            <button type="button" onClick={() => send({ kind: 'control', action: 'resume' })}>
              <Icon name="play" /> Resume
            </button>
          ) : (
            <button type="button" onClick={() => send({ kind: 'control', action: 'pause' })}>
              <Icon name="pause" /> Pause
            </button>
          )}
          <button type="button" className="agk-stop" onClick={() => send({ kind: 'control', action: 'cancel' })}>
            <Icon name="stop" /> Stop
          </button>
        </span>
      )}
    </header>
  );
}

/** A pause waits for the end of the step, and a stop for its tool: until then, that it was heard. */
function asked(run: RunState): string | undefined {
  return run.status === 'running' ? ASKED[run.control] : undefined;
}

function Model({ name }: { name: string }) {
  return name ? <span className="agk-chip">{visible(name)}</span> : null;
}

function Elapsed({ run, ended }: { run: RunState; ended: boolean }) {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    if (ended) {
      return undefined;
    }
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, [ended]);
  if (!run.started) {
    return null;
  }
  const seconds = Math.max(0, Math.round(((ended ? run.ended : now) - run.started) / 1000));
  const text = seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return <span className="agk-dim agk-number">{text}</span>;
}
