// All conversations and their runs: found by a word, seen at a glance, opened with a click.
import { memo, useEffect, useMemo, useState } from 'react';
import { FINAL } from '../../widgets/src/run';
import { Icon } from '../../widgets/src/views/Icon';
import { oneLine, parted, visible } from '../../widgets/src/views/plain';
import { money, promptTokens, short } from '../../widgets/src/window';
import type { RunRow } from './api';
import type { Hub, Snapshot } from './hub';
import { Filter, ago, duration, grouped } from './shown';

const FILTERS: Array<[Filter, string]> = [
  ['all', 'All'],
  ['working', 'Working'],
  ['waiting', 'Needs you'],
  ['failed', 'Failed']
];
const STATES: Record<string, string> = {
  queued: 'queued',
  running: 'working',
  waiting: 'needs you',
  paused: 'paused',
  completed: 'done',
  failed: 'failed',
  cancelled: 'stopped'
};
const MOST_SHOWN = 80;

/** What the panel shows beside, or instead of, a run. */
export type Page = '' | 'workspaces' | 'usage' | 'arrange';

interface Props {
  hub: Hub;
  setUp: () => void;
  open: (page: Page) => void;
  known: Pick<Snapshot, 'runs' | 'sessions' | 'selected' | 'loading' | 'whole' | 'online' | 'today'>;
}

export const RunList = memo(function RunList({ hub, known, setUp, open }: Props) {
  const [search, setSearch] = useState('');
  const [filter, setFilter] = useState<Filter>('all');
  const [most, setMost] = useState(MOST_SHOWN);
  const groups = useMemo(() => grouped(known.runs, known.sessions, search, filter), [known.runs, known.sessions, search, filter]);
  const now = useNow(known.runs.some(row => !FINAL.has(row.status)));
  const found = groups.reduce((sum, group) => sum + group.runs.length, 0);
  let left = most;
  return (
    <div className="agk-list">
      <div className="agk-find">
        <span className="agk-seek">
        <span className="agk-search">
          <Icon name="search" />
          <input
            type="search"
            value={search}
            placeholder="Search runs"
            aria-label="Search runs"
            onChange={event => setSearch(event.target.value)}
            onKeyDown={event => event.stopPropagation()}
          />
        </span>
        <button type="button" className="agk-quiet" title="Workspaces and their files" aria-label="Workspaces" onClick={() => open('workspaces')}>
          <Icon name="folder" />
        </button>
        <button type="button" className="agk-quiet" title="Usage: runs, cost, tokens" aria-label="Usage" onClick={() => open('usage')}>
          <Icon name="context" />
        </button>
        <button type="button" className="agk-quiet" title="Skills and MCP servers" aria-label="Skills and MCP servers" onClick={() => open('arrange')}>
          <Icon name="skill" />
        </button>
        <button type="button" className="agk-quiet" title="How the model is reached" aria-label="How the model is reached" onClick={setUp}>
          <Icon name="settings" />
        </button>
        </span>
        <span className="agk-segments" role="group" aria-label="Which runs">
          {FILTERS.map(([value, label]) => (
            <button key={value} type="button" aria-pressed={filter === value} onClick={() => setFilter(value)}>
              {label}
            </button>
          ))}
        </span>
      </div>
      <div className="agk-scroll" tabIndex={0} role="region" aria-label="Runs">
        {known.loading && !known.runs.length && <Skeleton />}
        {!known.loading && !found && <Nothing any={known.runs.length > 0} online={known.online} />}
        {groups.map(group => {
          const runs = group.runs.slice(0, Math.max(0, left));
          left -= runs.length;
          return runs.length ? (
            <section key={group.key} className="agk-session" aria-label={visible(group.title)}>
              <header title={visible(group.place)}>
                <Icon name={/\.ipynb( ·|$)/.test(group.title) ? 'notebook_python' : 'folder'} />
                <span>{oneLine(group.title, 60)}</span>
              </header>
              {runs.map(row => (
                <Row key={row.id} row={row} chosen={row.id === known.selected} now={FINAL.has(row.status) ? Math.floor(now / 60_000) * 60_000 : now} hub={hub} />
              ))}
            </section>
          ) : null;
        })}
        {found > most && (
          <button type="button" className="agk-quiet agk-earlier" onClick={() => setMost(most + MOST_SHOWN)}>
            Show {Math.min(MOST_SHOWN, found - most)} more of {found}
          </button>
        )}
        {found <= most && !known.whole && (
          <button type="button" className="agk-quiet agk-earlier" onClick={() => { setMost(most + MOST_SHOWN); void hub.older(); }}>
            Show older runs
          </button>
        )}
      </div>
      {known.today && <p className="agk-dim agk-number agk-today">{known.today}</p>}
    </div>
  );
});

const Row = memo(function Row({ row, chosen, now, hub }: { row: RunRow; chosen: boolean; now: number; hub: Hub }) {
  const used = row.used;
  const tokens = used ? promptTokens({ input_tokens: 0, cache_read_tokens: 0, cache_write_tokens: 0, ...used }) + (used.output_tokens ?? 0) : 0;
  const facts = [ago(row.created_ms, now), duration(row, now), row.model === 'demo' ? 'demo' : used?.cost_usd ? money(used.cost_usd) : tokens ? `${short(tokens)} tokens` : ''];
  return (
    <button
      type="button"
      className={`agk-run agk-status-${row.status}`}
      aria-current={chosen}
      onClick={() => void hub.select(row.id)}
      onPointerEnter={() => void hub.load(row.id)}
      onFocus={() => void hub.load(row.id)}
    >
      <span className="agk-dot" aria-hidden="true" />
      <span className="agk-about">
        <span className="agk-prompt">{oneLine(parted(row.prompt).typed, 90)}</span>
        <span className="agk-dim agk-number">
          {row.status !== 'completed' && <strong>{STATES[row.status] ?? row.status} · </strong>}
          {facts.filter(Boolean).join(' · ')}
        </span>
      </span>
    </button>
  );
});

function Nothing({ any, online }: { any: boolean; online: boolean }) {
  if (any) {
    return <p className="agk-dim agk-empty agk-pane">No run fits. Search for fewer words, or look at all runs.</p>;
  }
  if (!online) {
    return <p className="agk-dim agk-empty agk-pane">The runs cannot be listed while the Jupyter server is away.</p>;
  }
  return (
    <div className="agk-teach">
      <Icon name="chat" />
      <p>
        <strong>Nothing was asked yet.</strong>
      </p>
      <p>
        Say below what should be done: “Profile sales.csv and chart it”. Name files with <code>@</code>, drop them here, or type <code>/</code> for commands.
      </p>
      <p>
        Or write a prompt in a notebook cell, under <code>%%agent</code>. Every run appears here, live, whoever started it.
      </p>
    </div>
  );
}

export function Skeleton() {
  return (
    <div className="agk-skeleton" role="status" aria-label="Loading">
      {[72, 54, 83, 61].map(width => (
        <span key={width} style={{ width: `${width}%` }} />
      ))}
    </div>
  );
}

function useNow(often: boolean): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), often ? 1_000 : 30_000);
    return () => clearInterval(timer);
  }, [often]);
  return now;
}
