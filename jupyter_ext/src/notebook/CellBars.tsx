// What stands under cells: what the agent changed, with Accept and Reject; ways to have an error explained or fixed; a
// line to ask about a cell. Text of cells is text here, never markup.
import { KeyboardEvent, useEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react';
import { Icon } from '../../../widgets/src/views/Icon';
import { visible } from '../../../widgets/src/views/plain';
import type { Board } from './board';
import type { Change } from './changes';
import { lineDiff } from './linediff';

const DONE: Record<Change['op'], string> = { insert: 'inserted this cell', edit: 'edited this cell', delete: 'deleted a cell here', move: 'moved this cell' };
const MOST_LINES = 500;

/** Shortcuts of the notebook are on plain letters and on Enter: they must not reach into the bar. */
const KEYS = { 'data-lm-suppress-shortcuts': 'true' };

function useBoard(board: Board): void {
  useSyncExternalStore(board.subscribe, board.version);
}

export function ChangeBar({ board, of }: { board: Board; of: string }) {
  useBoard(board);
  const change = board.changes.snapshot().find(one => keyOf(one) === of);
  if (!change) {
    return null;
  }
  const fits = board.changes.fits(change);
  if (change.state !== 'open') {
    return (
      <section className="agk agk-cellbar agk-decided" aria-label={`The agent ${DONE[change.op]}: ${change.state}`} {...KEYS}>
        <header>
          <Icon name={change.state === 'accepted' ? 'check' : 'close'} />
          <span>{change.state === 'accepted' ? 'Accepted' : 'Rejected'}</span>
          <span className="agk-space" />
          <button type="button" className="agk-quiet" onClick={() => board.reopen([change])}>
            Undo
          </button>
          <button type="button" className="agk-quiet" aria-label="Close" title="Close" onClick={() => board.changes.close([change])}>
            <Icon name="close" />
          </button>
        </header>
      </section>
    );
  }
  return (
    <section className="agk agk-cellbar" aria-label={`The agent ${DONE[change.op]}`} data-agk-change={change.cell} {...KEYS}>
      <header>
        <Icon name="agent" />
        <span>The agent {DONE[change.op]}</span>
        <Counts change={change} />
        <span className="agk-space" />
        {!fits && <span className="agk-dim">You have changed it since</span>}
        <span className="agk-buttons">
          <button type="button" onClick={() => board.accept([change])} aria-label="Accept this change">
            {fits ? 'Accept' : 'Keep'}
          </button>
          <button type="button" disabled={!fits} onClick={() => board.reject([change])} aria-label="Reject this change" title={fits ? 'Put the cell back' : 'The cell was changed since: it cannot be put back'}>
            Reject
          </button>
        </span>
      </header>
      <Lines change={change} />
    </section>
  );
}

export function keyOf(change: Change): string {
  return `${change.run} ${change.cell} ${change.op}`;
}

function useLines({ before, after }: Change) {
  return useMemo(() => lineDiff(before, after), [before, after]);
}

function Counts({ change }: { change: Change }) {
  const lines = useLines(change);
  const count = (kind: string): number => lines.filter(line => line.kind === kind).length;
  return (
    <span className="agk-number">
      <span className="agk-plus">{count('+') ? `+${count('+')}` : ''}</span> <span className="agk-minus">{count('-') ? `−${count('-')}` : ''}</span>
    </span>
  );
}

function Lines({ change }: { change: Change }) {
  const lines = useLines(change);
  const [whole, setWhole] = useState(false);
  if (change.op === 'move') {
    return null;
  }
  const shown = whole ? lines : lines.slice(0, MOST_LINES);
  const kinds = { ' ': 'agk-row', '+': 'agk-row agk-added', '-': 'agk-row agk-removed', '…': 'agk-row agk-hunk' };
  return (
    <>
      <pre className="agk-rows" tabIndex={0} aria-label="What changed">
        {shown.map(({ kind, text }, at) => (
          <span key={at} className={kinds[kind]}>
            {kind === '…' ? '⋯' : `${kind} ${visible(text)}`}
            {'\n'}
          </span>
        ))}
      </pre>
      {shown.length < lines.length && (
        <button type="button" className="agk-quiet" onClick={() => setWhole(true)}>
          Show all {lines.length.toLocaleString('en')} lines
        </button>
      )}
    </>
  );
}

/** Over the notebook: all that a run changed. `fit` is told how high it is. */
export function RunBars({ board, fit }: { board: Board; fit: (height: number) => void }) {
  useBoard(board);
  const rows = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const seen = new ResizeObserver(() => fit(rows.current?.offsetHeight ?? 0));
    seen.observe(rows.current!);
    return () => seen.disconnect();
  }, [fit]);
  const shown = board.changes.snapshot().filter(change => !change.closed);
  const runs = [...new Set(shown.map(({ run }) => run))];
  return (
    <div ref={rows}>
      {runs.map(run => (
        <RunBar key={run} board={board} changes={shown.filter(change => change.run === run)} />
      ))}
    </div>
  );
}

function RunBar({ board, changes }: { board: Board; changes: Change[] }) {
  const open = changes.filter(({ state }) => state === 'open');
  const rejected = changes.filter(({ state }) => state === 'rejected').length;
  const many = (count: number): string => (count === 1 ? '1 change' : `${count} changes`);
  return (
    <div className="agk agk-runbar" role="group" aria-label="Changes of a run of the agent" {...KEYS}>
      <Icon name="agent" />
      {open.length ? (
        <>
          <span role="status">{many(open.length)} by the agent</span>
          <button type="button" className="agk-quiet" onClick={() => board.next(open)}>
            {open.length === 1 ? 'Show' : 'Next'}
          </button>
          <span className="agk-space" />
          <button type="button" onClick={() => board.accept(open)}>
            Accept all
          </button>
          <button type="button" onClick={() => board.reject(open)}>
            Reject all
          </button>
        </>
      ) : (
        <>
          <span role="status">
            {changes.length - rejected} accepted, {rejected} rejected
          </span>
          <span className="agk-space" />
          <button type="button" className="agk-quiet" onClick={() => board.reopen(changes)}>
            Undo
          </button>
          <button type="button" className="agk-quiet" aria-label="Close" title="Close" onClick={() => board.changes.close(changes)}>
            <Icon name="close" />
          </button>
        </>
      )}
      {board.said && (
        <span className="agk-warned" role="alert">
          {board.said}
        </span>
      )}
    </div>
  );
}

/** Under a cell that failed. */
export function ErrorBar({ board, cell }: { board: Board; cell: string }) {
  return (
    <div className="agk agk-errorbar" role="group" aria-label="Ask the agent about this error" {...KEYS}>
      <button type="button" className="agk-quiet" onClick={() => board.begin('explain', cell)}>
        <Icon name="chat" /> Explain
      </button>
      <button type="button" className="agk-quiet" onClick={() => board.begin('fix', cell)}>
        <Icon name="agent" /> Fix
      </button>
    </div>
  );
}

/** A question about one cell. */
export function AskBar({ board, cell }: { board: Board; cell: string }) {
  const [text, setText] = useState('');
  const box = useRef<HTMLTextAreaElement>(null);
  useEffect(() => box.current?.focus(), []);
  const send = (): void => {
    if (text.trim()) {
      board.begin('ask', cell, text.trim());
      board.ask(null);
    }
  };
  const onKey = (event: KeyboardEvent): void => {
    event.stopPropagation();
    if (event.key === 'Escape') {
      board.ask(null);
    } else if (event.key === 'Enter' && !event.shiftKey && !event.nativeEvent.isComposing) {
      event.preventDefault();
      send();
    }
  };
  return (
    <form
      className="agk agk-askbar"
      {...KEYS}
      onSubmit={event => {
        event.preventDefault();
        send();
      }}
    >
      <textarea ref={box} rows={1} value={text} placeholder="Ask about this cell, or say what to change …" aria-label="Ask the agent about this cell" onChange={event => setText(event.target.value)} onKeyDown={onKey} />
      <button type="submit" className="agk-primary" disabled={!text.trim()} aria-label="Send" title="Send (Enter)">
        <Icon name="send" />
      </button>
      <button type="button" className="agk-quiet" aria-label="Close" title="Close (Escape)" onClick={() => board.ask(null)}>
        <Icon name="close" />
      </button>
    </form>
  );
}
