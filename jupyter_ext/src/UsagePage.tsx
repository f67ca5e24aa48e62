// What all runs used: how many, how they ended, what they cost and how long they took; by day, model and agent.
import { useEffect, useMemo, useState } from 'react';
import { took } from '../../widgets/src/trace';
import { Facts } from '../../widgets/src/views/Facts';
import { Icon } from '../../widgets/src/views/Icon';
import { visible } from '../../widgets/src/views/plain';
import { money, short } from '../../widgets/src/window';
import type { Worked } from './api';
import type { Hub } from './hub';
import { Plot } from './Plot';
import { Skeleton } from './RunList';
import { Along, Total, by, daily, success, total } from './usage';

const SPANS: ReadonlyArray<[number, string]> = [
  [7, '7 days'],
  [30, '30 days'],
  [90, '90 days']
];
const ALONG: ReadonlyArray<[Along, string]> = [
  ['model', 'Model'],
  ['agent', 'Agent'],
  ['day', 'Day']
];

export function UsagePage({ hub, close }: { hub: Hub; close: () => void }) {
  const [days, setDays] = useState(30);
  const [along, setAlong] = useState<Along>('model');
  const [rows, setRows] = useState<readonly Worked[] | null>(null);
  const [problem, setProblem] = useState('');
  useEffect(() => {
    let wanted = true;
    setProblem('');
    hub.api.worked(days).then(
      found => wanted && setRows(found),
      error => wanted && setProblem(error instanceof Error ? error.message : String(error))
    );
    return () => {
      wanted = false;
    };
  }, [hub, days]);
  return (
    <section className="agk-usage" aria-label="Usage">
      <header>
        <button type="button" className="agk-quiet" onClick={close} aria-label="Close usage">
          <Icon name="back" />
        </button>
        <h4>Usage</h4>
        <span className="agk-space" />
        <Choice label="How far back" choices={SPANS} value={days} choose={setDays} />
      </header>
      <div className="agk-usage-body" tabIndex={0} role="region" aria-label="Usage in numbers">
        {problem && <p className="agk-error" role="alert"><Icon name="warning" /> <span>{visible(problem)}</span></p>}
        {!rows && !problem && <Skeleton />}
        {rows && !rows.length && <p className="agk-dim agk-empty">No run was started in these {days} days.</p>}
        {rows && rows.length > 0 && <Numbers rows={rows} days={days} along={along} choose={setAlong} />}
      </div>
    </section>
  );
}

function Numbers({ rows, days, along, choose }: { rows: readonly Worked[]; days: number; along: Along; choose: (along: Along) => void }) {
  const all = useMemo(() => total('all', rows), [rows]);
  const each = useMemo(() => daily(rows, days, Date.now()), [rows, days]);
  const groups = useMemo(() => (along === 'day' ? by(along, rows).reverse() : by(along, rows)), [along, rows]);
  const facts: Array<[string, string]> = [
    ['Runs', all.runs.toLocaleString('en')],
    ['Completed', share(all)],
    ['Cost', cost(all)],
    ['A run took', average(all)],
    ['Tokens', short(all.tokens)],
    ['From the cache', all.prompt ? `${Math.round((all.cached / all.prompt) * 100)} %` : '–']
  ];
  return (
    <>
      <Facts facts={facts} />
      <div className="agk-plots">
        <Plot title="Runs" partSays="not completed" say={value => value.toLocaleString('en')} bars={each.map(one => ({ name: one.name, value: one.runs, part: one.ended - one.completed }))} />
        {priced(all) && <Plot title="Cost" say={money} bars={each.map(one => ({ name: one.name, value: one.cost }))} />}
        <Plot title="Tokens" say={short} bars={each.map(one => ({ name: one.name, value: one.tokens }))} />
        <Plot title="Time worked" say={seconds => took(seconds * 1_000)} bars={each.map(one => ({ name: one.name, value: one.seconds }))} />
      </div>
      <Choice label="Compare by" choices={ALONG} value={along} choose={choose} />
      <div className="agk-table" tabIndex={0} role="region" aria-label={`Usage by ${along}`}>
        <table>
          <thead>
            <tr>
              <th scope="col">{ALONG.find(([name]) => name === along)![1]}</th>
              {['Runs', 'Completed', 'Cost', 'Tokens', 'A run took'].map(name => (
                <th key={name} scope="col">{name}</th>
              ))}
            </tr>
          </thead>
          <tbody>
            {groups.map(group => (
              <tr key={group.name}>
                <th scope="row" title={visible(group.name)}>{visible(group.name)}</th>
                <td>{group.runs.toLocaleString('en')}</td>
                <td>{share(group)}</td>
                <td>{cost(group)}</td>
                <td>{short(group.tokens)}</td>
                <td>{average(group)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p className="agk-dim">Days are in UTC, by the start of a run. {all.unpriced && 'Some models have no known price; what they cost is not in the sums.'}</p>
    </>
  );
}

function Choice<T extends string | number>({ label, choices, value, choose }: { label: string; choices: ReadonlyArray<[T, string]>; value: T; choose: (value: T) => void }) {
  return (
    <span className="agk-segments" role="group" aria-label={label}>
      {choices.map(([one, name]) => (
        <button key={one} type="button" aria-pressed={one === value} onClick={() => choose(one)}>
          {name}
        </button>
      ))}
    </span>
  );
}

function share(sum: Total): string {
  const found = success(sum);
  return found === null ? '–' : `${Math.round(found * 100)} %`;
}

/** A model without a price costs something, and nobody knows what. */
function priced(sum: Total): boolean {
  return sum.cost > 0 || !sum.unpriced;
}

function cost(sum: Total): string {
  return priced(sum) ? money(sum.cost) : '?';
}

function average(sum: Total): string {
  return sum.ended ? took((sum.seconds / sum.ended) * 1_000) : '–';
}
