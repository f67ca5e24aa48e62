// What a run did to files: by file or step by step, each with its diff, each to be undone.
import { memo, useEffect, useMemo, useState } from 'react';
import type { FileChangeEvent } from '../events';
import type { Call, RunState } from '../run';
import type { Action } from '../source';
import { Diff, TAGS } from './Diff';
import { Icon } from './Icon';
import { oneLine, visible } from './plain';

interface Props {
  run: RunState;
  ended: boolean;
  send: (action: Action) => void;
  open: ((path: string) => void) | null;
  /** What the run did to each file, its steps taken together; left out where nobody can tell. */
  merged?: () => Promise<FileChangeEvent[]>;
}

interface Group {
  key: string;
  title: string;
  code: boolean;
  added: number;
  removed: number;
  changes: FileChangeEvent[];
  undo: Action;
  path: string | null;
  /** What became of the one file it is about. */
  action: FileChangeEvent['action'] | null;
}

const MOST_GROUPS = 60;

export const FilesView = memo(function FilesView({ run, ended, send, open, merged }: Props) {
  const [steps, setSteps] = useState(false);
  const [most, setMost] = useState(MOST_GROUPS);
  const together = useTogether(run, steps ? undefined : merged);
  const groups = useMemo(() => (steps ? bySteps(run) : byFiles(run, together)), [run.changes, run.files, steps, together]);
  if (!run.changes.length) {
    return <p className="agk-dim agk-empty agk-pane">No file was changed. What the agent creates, edits or deletes in the workspace appears here, and can be undone.</p>;
  }
  return (
    <div className="agk-pane">
      <div className="agk-bar">
        <span className="agk-segments" role="group" aria-label="Order of the changes">
          <button type="button" aria-pressed={!steps} onClick={() => setSteps(false)}>
            By file
          </button>
          <button type="button" aria-pressed={steps} onClick={() => setSteps(true)}>
            Step by step
          </button>
        </span>
        <span className="agk-space" />
        <button type="button" disabled={!ended || !run.files.size} title={ended ? '' : 'Once the run has ended'} onClick={() => send({ kind: 'undo', call_id: null })}>
          <Icon name="undo" /> Undo the whole run
        </button>
      </div>
      {groups.slice(0, most).map(group => (
        <article key={group.key} className="agk-card">
          <header className="agk-group">
            <Icon name="files" />
            {group.code ? <code title={visible(group.title)}>{visible(group.title)}</code> : <span className="agk-name">{visible(group.title)}</span>}
            {group.action && <span className={`agk-tag agk-${group.action}`}>{TAGS[group.action]}</span>}
            <span className="agk-plus">{group.added ? `+${group.added}` : ''}</span>
            <span className="agk-minus">{group.removed ? `−${group.removed}` : ''}</span>
            <span className="agk-space" />
            {open && group.path && (
              <button type="button" className="agk-quiet" title={`Open ${visible(group.path)}`} aria-label={`Open ${visible(group.path)}`} onClick={() => open(group.path!)}>
                <Icon name="open" />
              </button>
            )}
            {ended && group.changes.some(change => change.before) && (
              <button type="button" className="agk-quiet" aria-label={`Undo ${visible(group.title)}`} onClick={() => send(group.undo)}>
                <Icon name="undo" /> <span className="agk-word">Undo</span>
              </button>
            )}
          </header>
          {group.changes.map(change => (
            <Diff key={change.seq} change={change} onUndo={null} bare={group.action !== null && group.changes.length === 1} />
          ))}
        </article>
      ))}
      {groups.length > most && (
        <button type="button" className="agk-quiet" onClick={() => setMost(most + MOST_GROUPS)}>
          Show {Math.min(MOST_GROUPS, groups.length - most)} more of {groups.length}
        </button>
      )}
    </div>
  );
});

/** Asked for where a file was changed more than once; until it is here its steps stand one below the other. */
function useTogether(run: RunState, merged?: () => Promise<FileChangeEvent[]>): ReadonlyMap<string, FileChangeEvent> {
  const [found, setFound] = useState<ReadonlyMap<string, FileChangeEvent>>(new Map());
  const count = run.changes.length;
  const several = new Set(run.changes.map(change => change.path)).size < count;
  useEffect(() => {
    let gone = false;
    if (merged && several) {
      const take = (changes: FileChangeEvent[]): void => setFound(new Map(changes.map(change => [change.path, change])));
      merged().then(changes => !gone && take(changes), () => undefined);
    }
    return () => {
      gone = true;
    };
  }, [merged, several, count]);
  return found;
}

function byFiles(run: RunState, together: ReadonlyMap<string, FileChangeEvent>): Group[] {
  const changes = new Map<string, FileChangeEvent[]>();
  run.changes.forEach(change => changes.set(change.path, [...(changes.get(change.path) ?? []), change]));
  return [...changes].map(([path, list]) => {
    const sum = run.files.get(path);
    const title = sum ? path : `${path} (as it was before)`;
    const one = list.length > 1 ? together.get(path) : undefined;
    const counted = one ?? { added: sum?.added ?? 0, removed: sum?.removed ?? 0 };
    return { key: path, title, code: true, added: counted.added, removed: counted.removed, changes: one ? [one] : list, action: one?.action ?? sum?.action ?? null, path: sum && sum.action !== 'delete' ? path : null, undo: { kind: 'undo', call_id: null, path } };
  });
}

function bySteps(run: RunState): Group[] {
  const groups = new Map<string, Group>();
  for (const change of run.changes) {
    const id = change.call_id ?? '';
    const group = groups.get(id) ?? { key: id, title: titleOf(run, id), code: false, added: 0, removed: 0, changes: [], action: null, path: null, undo: { kind: 'undo', call_id: change.call_id } };
    group.changes.push(change);
    group.added += change.added;
    group.removed += change.removed;
    groups.set(id, group);
  }
  return [...groups.values()];
}

function titleOf(run: RunState, id: string): string {
  const call = run.entries.find((entry): entry is Call => entry.kind === 'call' && entry.event.id === id);
  const about = String(call?.event.args['path'] ?? call?.event.args['command'] ?? '');
  return call ? oneLine(`${call.event.tool} ${about}`, 80) : 'Outside of the steps';
}
