// A unified diff, as one column or side by side.
import { memo, useMemo, useState } from 'react';
import type { FileChangeEvent } from '../events';
import { visible } from './plain';
import { Row, rowsOf } from './rows';
import { Line } from './text';

const MOST_ROWS = 400;

interface Props {
  change: FileChangeEvent;
  onUndo: (() => void) | null;
  /** What stands above it says which file it is. */
  bare?: boolean;
}

export const TAGS = { create: 'new', edit: 'edited', delete: 'deleted' };

export const Diff = memo(function Diff({ change, onUndo, bare = false }: Props) {
  const [beside, setBeside] = useState(false);
  const [whole, setWhole] = useState(false);
  const rows = useMemo(() => rowsOf(change), [change.diff, change.path]);
  const shown = whole ? rows : rows.slice(0, MOST_ROWS);
  return (
    <section className="agk-diff" aria-label={`Change of ${change.path}`}>
      <header>
        {!bare && (
          <>
            <span className={`agk-tag agk-${change.action}`}>{TAGS[change.action]}</span>
            <code title={visible(change.path)}>{visible(change.path)}</code>
            <span className="agk-plus">{change.added ? `+${change.added}` : ''}</span>
            <span className="agk-minus">{change.removed ? `−${change.removed}` : ''}</span>
          </>
        )}
        <span className="agk-space" />
        {change.action === 'edit' && rows.length > 0 && (
          <button type="button" className="agk-quiet" aria-pressed={beside} onClick={() => setBeside(!beside)}>
            {beside ? 'Unified' : 'Side by side'}
          </button>
        )}
        {onUndo && (
          <button type="button" className="agk-quiet" onClick={onUndo} title={`Put ${visible(change.path)} back`}>
            Undo
          </button>
        )}
      </header>
      {change.note && <p className="agk-dim">{change.note}</p>}
      {shown.length > 0 && (beside ? <Columns rows={shown} /> : <Unified rows={shown} />)}
      {shown.length < rows.length && (
        <button type="button" className="agk-quiet" onClick={() => setWhole(true)}>
          Show all {rows.length.toLocaleString('en')} lines
        </button>
      )}
    </section>
  );
});

export function Unified({ rows }: { rows: Row[] }) {
  return (
    <pre className="agk-rows" tabIndex={0}>
      {rows.map((row, index) => (
        <span key={index} className={classOf(row)}>
          {row.kind === '@' ? row.text : <>{`${row.kind} `}<Line text={row.text} language={row.language} /></>}
          {'\n'}
        </span>
      ))}
    </pre>
  );
}

const CLASS = { ' ': 'agk-row', '+': 'agk-row agk-added', '-': 'agk-row agk-removed', '@': 'agk-row agk-hunk' };

/** The heading of a notebook's cell is no place in a file. */
function classOf(row: Row): string {
  return row.kind === '@' && !row.text.startsWith('@@') ? `${CLASS['@']} agk-cellname` : CLASS[row.kind];
}

function Columns({ rows }: { rows: Row[] }) {
  const pairs = useMemo(() => paired(rows), [rows]);
  return (
    <div className="agk-columns" tabIndex={0}>
      {[0, 1].map(side => (
        <pre key={side} className="agk-rows">
          {pairs.map((pair, index) => {
            const row = pair[side];
            return (
              <span key={index} className={row ? classOf(row) : 'agk-row agk-none'}>
                {row && (row.kind === '@' ? row.text : <Line text={row.text} language={row.language} />)}
                {'\n'}
              </span>
            );
          })}
        </pre>
      ))}
    </div>
  );
}

/** Removed lines stand beside the added ones that follow them. */
function paired(rows: Row[]): Array<[Row | null, Row | null]> {
  const pairs: Array<[Row | null, Row | null]> = [];
  let left: Row[] = [];
  let right: Row[] = [];
  const flush = () => {
    for (let index = 0; index < Math.max(left.length, right.length); index++) {
      pairs.push([left[index] ?? null, right[index] ?? null]);
    }
    left = [];
    right = [];
  };
  for (const row of rows) {
    if (row.kind === '-') {
      left.push(row);
    } else if (row.kind === '+') {
      right.push(row);
    } else {
      flush();
      pairs.push([row, row]);
    }
  }
  flush();
  return pairs;
}
