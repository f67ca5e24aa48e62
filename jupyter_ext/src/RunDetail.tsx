// One run: what it is doing, and seven ways to look at it.
import { KeyboardEvent, memo, useCallback, useEffect, useMemo, useRef, useState } from 'react';
import type { FileChangeEvent } from '../../widgets/src/events';
import { Entry, FINAL, RunState } from '../../widgets/src/run';
import { previewsOfServer } from '../../widgets/src/server';
import type { Action } from '../../widgets/src/source';
import type { Ahead } from '../../widgets/src/window';
import { ContextView } from '../../widgets/src/views/ContextView';
import { FilesView } from '../../widgets/src/views/FilesView';
import { Header } from '../../widgets/src/views/Header';
import { Icon } from '../../widgets/src/views/Icon';
import { Plan } from '../../widgets/src/views/Plan';
import { Preview } from '../../widgets/src/views/Preview';
import { Timeline } from '../../widgets/src/views/Timeline';
import { TraceView } from '../../widgets/src/views/TraceView';
import type { RunRow } from './api';
import { Fork } from './Fork';
import { Guard } from './Guard';
import type { Host } from './host';
import { Replay } from './Replay';
import type { Hub } from './hub';
import { Skeleton } from './RunList';

const openPreview = previewsOfServer();

export type Tab = 'chat' | 'thoughts' | 'tools' | 'files' | 'preview' | 'context' | 'trace';

const TABS: Array<[Tab, string, string]> = [
  ['chat', 'Chat', 'chat'],
  ['thoughts', 'Thoughts', 'thought'],
  ['tools', 'Tools', 'tools'],
  ['files', 'Files', 'files'],
  ['preview', 'Preview', 'preview'],
  ['context', 'Context', 'context'],
  ['trace', 'Trace', 'trace']
];

const FORGET = 'Clear what the model knows of this conversation? You still see all of it, and the files stay.';

interface Props {
  hub: Hub;
  host: Host;
  row: RunRow;
  run: RunState | null;
  tab: Tab;
  show: (tab: Tab) => void;
  openFile: ((path: string) => void) | null;
  replaying: boolean;
}

export const RunDetail = memo(function RunDetail({ hub, host, row, run, tab, show, openFile, replaying }: Props) {
  const send = useCallback(
    (action: Action) => {
      const sure = action.kind === 'shorten' && action.clear ? host.confirm(FORGET, 'Clear') : Promise.resolve(true);
      void sure.then(yes => (yes ? hub.act(row.id, action) : undefined));
    },
    [hub, host, row.id]
  );
  const ahead = useCallback(() => hub.api.ahead(row.id), [hub, row.id]);
  const merged = useCallback(() => hub.api.diff(row.id), [hub, row.id]);
  const [from, setFrom] = useState(0);
  const fork = useCallback((seq: number) => setFrom(before => (before === seq ? 0 : seq)), []);
  useEffect(() => setFrom(0), [row.id, tab]);
  const info = useMemo(() => ({ model: row.model, agent: row.agent ?? undefined, permission: row.options.permission, tier: run?.tier }), [row.model, row.agent, row.options.permission, run?.tier]);
  if (!run) {
    return <Skeleton />;
  }
  if (replaying && FINAL.has(run.status)) {
    return (
      <Guard key={`${row.id} replay`}>
        <Replay hub={hub} row={row} send={send} />
      </Guard>
    );
  }
  return (
    <>
      <Header run={run} info={info} send={send} />
      {run.todo.length > 0 && !FINAL.has(run.status) && <Plan run={run} />}
      <Tabs run={run} tab={tab} show={show} />
      <div className="agk-view" role="tabpanel" id="agk-view" aria-labelledby={`agk-tab-${tab}`}>
        <Guard key={`${row.id} ${tab}`}>
          <View key={row.id} run={run} tab={tab} send={send} openFile={openFile} merged={merged} ahead={ahead} fork={fork} from={from} />
        </Guard>
      </div>
      {from > 0 && <Fork key={from} hub={hub} row={row} seq={from} after="this step" close={() => setFrom(0)} />}
    </>
  );
});

interface Viewed {
  run: RunState;
  tab: Tab;
  send: (action: Action) => void;
  openFile: ((path: string) => void) | null;
  merged: () => Promise<FileChangeEvent[]>;
  ahead: () => Promise<Ahead>;
  fork: (seq: number) => void;
  from: number;
}

function View({ run, tab, send, openFile, merged, ahead, fork, from }: Viewed) {
  const ended = FINAL.has(run.status);
  const entries = useMemo(() => chosen(run.entries, tab), [run.entries, tab]);
  switch (tab) {
    case 'files':
      return <FilesView run={run} ended={ended} send={send} open={openFile} merged={merged} />;
    case 'context':
      return <ContextView run={run} ended={ended} send={send} ahead={ahead} />;
    case 'trace':
      return <TraceView run={run} />;
    case 'preview':
      return run.served.length ? <Preview run={run} open={openPreview} send={send} ended={ended} /> : <p className="agk-dim agk-empty agk-pane">Nothing is served. When the agent starts a web page or an app, it appears here, in a frame that reaches nothing of Jupyter.</p>;
    default:
      return <Timeline key={tab} entries={entries} send={send} ended={ended} empty={EMPTY[tab]} most={MOST_DRAWN} fork={ended ? fork : undefined} from={from} />;
  }
}

/** A panel shows a few steps at a time, and changes between runs often. */
const MOST_DRAWN = 40;
const EMPTY = {
  chat: 'The agent is starting …',
  thoughts: 'No thoughts yet. Models that think before they answer show it here.',
  tools: 'No tool was called yet. Commands, programs and edits appear here with their output.'
};

function chosen(entries: Entry[], tab: Tab): Entry[] {
  if (tab === 'thoughts') {
    return entries.filter(entry => entry.kind === 'thought' || (entry.kind === 'live' && entry.of === 'thinking'));
  }
  if (tab === 'tools') {
    return entries.filter(entry => isShownCall(entry) || entry.kind === 'approval' || (entry.kind === 'live' && entry.of === 'input'));
  }
  return entries;
}

function isShownCall(entry: Entry): boolean {
  return entry.kind === 'call' && entry.event.tool !== 'todo';
}

function counts(run: RunState): Record<Tab, string> {
  const count = { chat: 0, thoughts: 0, tools: 0 };
  for (const entry of run.entries) {
    count.chat += entry.kind === 'message' ? 1 : 0;
    count.thoughts += entry.kind === 'thought' && entry.event.text.trim() ? 1 : 0;
    count.tools += isShownCall(entry) ? 1 : 0;
  }
  const say = (number: number): string => (number ? number.toLocaleString('en') : '');
  const share = run.contextShare ? `${Math.max(1, Math.round(run.contextShare * 100))} %` : '';
  return { chat: say(count.chat), thoughts: say(count.thoughts), tools: say(count.tools), files: say(run.files.size), preview: say(run.served.filter(one => one.live).length), context: share, trace: '' };
}

function Tabs({ run, tab, show }: { run: RunState; tab: Tab; show: (tab: Tab) => void }) {
  const count = useMemo(() => counts(run), [run]);
  const list = useRef<HTMLDivElement>(null);
  useEffect(() => {
    list.current?.querySelector(`#agk-tab-${tab}`)?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }, [tab]);
  const move = (event: KeyboardEvent): void => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) {
      event.preventDefault();
      event.stopPropagation();
      const at = TABS.findIndex(([name]) => name === tab);
      const next = TABS[(at + step + TABS.length) % TABS.length]![0];
      show(next);
      list.current?.querySelector<HTMLElement>(`#agk-tab-${next}`)?.focus();
    }
  };
  return (
    <div className="agk-tabs" role="tablist" aria-label="Views of the run" ref={list} onKeyDown={move}>
      {TABS.map(([name, label, icon]) => (
        <button
          key={name}
          id={`agk-tab-${name}`}
          type="button"
          role="tab"
          title={label}
          aria-label={count[name] ? `${label}, ${count[name]}` : label}
          aria-selected={name === tab}
          aria-controls="agk-view"
          tabIndex={name === tab ? 0 : -1}
          onClick={() => show(name)}
        >
          <Icon name={icon} />
          <span className="agk-label">{label}</span>
          {count[name] && <span className="agk-count">{count[name]}</span>}
        </button>
      ))}
    </div>
  );
}
