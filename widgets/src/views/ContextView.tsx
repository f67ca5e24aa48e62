// What fills the model's window, what it cost, and what one more turn would.
import { memo, useEffect, useState } from 'react';
import type { RunState } from '../run';
import type { Action } from '../source';
import { Ahead, Filler, cacheShare, fillers, fullness, money, nextTurnCost, promptTokens, short } from '../window';
import { Facts } from './Facts';
import { visible } from './plain';

const NAMES: Record<Filler, string> = {
  before: 'Instructions, tools and earlier runs',
  system: 'Instructions',
  tools: 'Descriptions of tools',
  skills: 'Names of skills',
  earlier: 'Earlier runs',
  files: 'Files that were read',
  people: 'What people said',
  thoughts: 'Thoughts',
  answers: 'Answers',
  calls: 'Tool calls',
  results: 'Tool results'
};
const MOST_TURNS = 40;

interface Props {
  run: RunState;
  ended: boolean;
  /** Left out where the history cannot be shortened. */
  send?: (action: Action) => void;
  /** What stands before the run; left out where nobody can tell. */
  ahead?: () => Promise<Ahead>;
}

export const ContextView = memo(function ContextView({ run, ended, send, ahead }: Props) {
  const before = useAhead(ahead, run.turns.length > 0);
  if (!run.turns.length) {
    return <p className="agk-dim agk-empty agk-pane">Nothing was counted yet. After each turn this shows what fills the model's window, how much of it the cache carried, and what it cost.</p>;
  }
  const { used, most } = fullness(run);
  const next = nextTurnCost(run);
  const cost = run.usage.cost_usd;
  const facts: Array<[string, string]> = [
    ['So far', run.demo ? 'nothing, it is the demo' : cost === null ? 'price not known' : money(cost)],
    ['One more turn, about', run.demo ? 'nothing' : next === null ? 'price not known' : money(next)],
    ['From the cache', `${Math.round(cacheShare(run) * 100)} %`],
    ['Tokens in', short(promptTokens(run.usage))],
    ['Tokens out', short(run.usage.output_tokens)],
    ['Turns', String(run.turns.length)]
  ];
  return (
    <div className="agk-pane">
      <h4 className="agk-caption">
        {short(used)} {most ? `of ${short(most)} tokens in the window, ${Math.max(1, Math.round((used / most) * 100))} %` : 'tokens in the window'}
      </h4>
      <Fill run={run} before={before} used={used} most={most} />
      {send && <Shorten run={run} ended={ended} send={send} />}
      <Facts facts={facts} />
      <Turns run={run} />
    </div>
  );
});

function useAhead(ahead: (() => Promise<Ahead>) | undefined, begun: boolean): Ahead | null {
  const [found, setFound] = useState<Ahead | null>(null);
  useEffect(() => {
    let gone = false;
    if (begun) {
      ahead?.().then(sizes => !gone && setFound(sizes), () => undefined);
    }
    return () => {
      gone = true;
    };
  }, [ahead, begun]);
  return found;
}

function Fill({ run, before, used, most }: { run: RunState; before: Ahead | null; used: number; most: number }) {
  const parts = fillers(run, before);
  const whole = Math.max(used, 1);
  return (
    <>
      {most > 0 && (
        <div className="agk-meter" role="img" aria-label={`${Math.round((used / most) * 100)} percent of the window are used`}>
          <span style={{ width: `${Math.min(100, (used / most) * 100)}%` }} />
        </div>
      )}
      <div className="agk-stack" aria-hidden="true">
        {parts.map(part => (
          <span key={part.of} className={`agk-fill-${part.of}`} style={{ flexGrow: part.tokens / whole }} />
        ))}
      </div>
      <ul className="agk-legend" aria-label="What fills the window, estimated by length">
        {parts.map(part => (
          <li key={part.of}>
            <span className={`agk-swatch agk-fill-${part.of}`} aria-hidden="true" />
            {NAMES[part.of]}
            <span className="agk-space" />
            <span className="agk-number">≈ {short(part.tokens)}</span>
          </li>
        ))}
      </ul>
    </>
  );
}

function Shorten({ run, ended, send }: { run: RunState; ended: boolean; send: (action: Action) => void }) {
  if (run.shortened) {
    return (
      <p className="agk-dim" role="status">
        {run.shortened.summary ? 'Compacted: the next prompt goes on from a summary.' : 'Cleared: the next prompt begins with an empty window.'}
      </p>
    );
  }
  const title = ended ? '' : 'Once the run has ended; while it works it compacts by itself';
  return (
    <div className="agk-buttons">
      <button type="button" disabled={!ended} title={title || 'The model writes a summary and goes on from that'} onClick={() => send({ kind: 'shorten', clear: false })}>
        Compact
      </button>
      <button type="button" disabled={!ended} title={title || 'The next prompt knows nothing of this conversation; you still see it'} onClick={() => send({ kind: 'shorten', clear: true })}>
        Clear
      </button>
    </div>
  );
}

function Turns({ run }: { run: RunState }) {
  const shown = run.turns.slice(-MOST_TURNS).reverse();
  const models = new Set(run.turns.map(turn => turn.model)).size > 1;
  return (
    <div className="agk-table" tabIndex={0} role="region" aria-label="Turn by turn">
      <table>
        <thead>
          <tr>
            <th scope="col">Turn</th>
            {models && <th scope="col">Model</th>}
            <th scope="col">In</th>
            <th scope="col">Cached</th>
            <th scope="col">Out</th>
            <th scope="col">Cost</th>
          </tr>
        </thead>
        <tbody>
          {shown.map(turn => (
            <tr key={turn.seq}>
              <td>{turn.turn}</td>
              {models && <td>{visible(turn.model)}</td>}
              <td>{short(promptTokens(turn))}</td>
              <td>{promptTokens(turn) ? `${Math.round((turn.cache_read_tokens / promptTokens(turn)) * 100)} %` : ''}</td>
              <td>{short(turn.output_tokens)}</td>
              <td>{turn.cost_usd === null ? '?' : money(turn.cost_usd)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {run.turns.length > MOST_TURNS && <p className="agk-dim">The last {MOST_TURNS} of {run.turns.length} turns.</p>}
    </div>
  );
}
