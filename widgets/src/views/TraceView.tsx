// Where the time of a run went: one bar for each answer of the model, each tool and each question.
import { memo, useEffect, useState } from 'react';
import type { RunState } from '../run';
import { Span, tick, took } from '../trace';
import { money, promptTokens, short } from '../window';
import { Icon } from './Icon';
import { visible } from './plain';

const MOST = 200;
const KINDS = ['chat', 'tool', 'approval'] as const;
const NAMES = { chat: 'Model', tool: 'Tool', approval: 'Waits for you', compaction: 'Summary', run: 'Run' };

export const TraceView = memo(function TraceView({ run }: { run: RunState }) {
  const now = useNow(run.trace.spans.some(span => !span.end));
  const all = run.trace.spans.filter(span => span.kind !== 'run');
  if (!all.length) {
    return <p className="agk-dim agk-empty agk-pane">Nothing took time yet. Each answer of the model and each tool gets a bar here: when it began, how long it took, and what it waited for.</p>;
  }
  const shown = all.slice(-MOST);
  const first = Math.min(...shown.map(span => span.start));
  const last = Math.max(...shown.map(span => span.end || now), first + 1);
  const step = tick(last - first);
  const marks = Array.from({ length: Math.floor((last - first) / step) + 1 }, (_, at) => at * step);
  const place = (ms: number): string => `${((ms / (last - first)) * 100).toFixed(3)}%`;
  return (
    <div className="agk-pane">
      <h4 className="agk-caption">{summary(all, now)}</h4>
      <ul className="agk-keys" aria-hidden="true">
        {KINDS.filter(kind => shown.some(span => span.kind === kind)).map(kind => (
          <li key={kind}>
            <span className={`agk-swatch agk-span-${kind}`} /> {NAMES[kind]}
          </li>
        ))}
      </ul>
      <div className="agk-waterfall" role="region" aria-label="Where the time went" tabIndex={0}>
        <div className="agk-axis" aria-hidden="true">
          {marks.map(mark => (
            <span key={mark} className={mark > (last - first) * 0.9 ? 'agk-mark agk-last' : 'agk-mark'} style={{ left: place(mark) }}>
              {mark ? took(mark) : '0'}
            </span>
          ))}
        </div>
        <ol>
          {shown.map((span, at) => (
            <li key={`${span.kind} ${span.id} ${at}`} className={`agk-lane agk-lane-${span.kind}`} title={told(span, now)}>
              <span className="agk-lane-name">
                <Icon name={span.kind === 'chat' ? 'thought' : span.kind === 'approval' ? 'shield' : span.kind === 'tool' ? span.name : 'context'} />
                <span>{label(span)}</span>
              </span>
              <span className="agk-track" aria-hidden="true">
                {marks.map(mark => (
                  <i key={mark} style={{ left: place(mark) }} />
                ))}
                <span
                  className={`agk-span agk-span-${span.kind}${span.state === 'error' ? ' agk-span-error' : ''}${span.end ? '' : ' agk-span-open'}`}
                  style={{ left: place(span.start - first), width: place((span.end || now) - span.start) }}
                />
              </span>
              <span className="agk-lane-time agk-number">{took((span.end || now) - span.start)}</span>
              <span className="agk-hidden">{told(span, now)}</span>
            </li>
          ))}
        </ol>
      </div>
      {all.length > MOST && <p className="agk-dim">The last {MOST} of {all.length.toLocaleString('en')} steps.</p>}
    </div>
  );
});

function label(span: Span): string {
  return span.kind === 'chat' ? `Turn ${span.turn}${span.attempts > 1 ? `, ${span.attempts} tries` : ''}` : span.kind === 'tool' ? visible(span.name) : span.kind === 'approval' ? 'Question' : 'Summary';
}

/** One span in words: for a pointer that rests on it, and for those who do not see the bars. */
function told(span: Span, now: number): string {
  const facts = [`${NAMES[span.kind]}${span.kind === 'chat' ? `, turn ${span.turn}` : span.kind === 'tool' ? ` ${visible(span.name)}` : ''}: ${took((span.end || now) - span.start)}`];
  if (!span.end) {
    facts.push('still going on');
  }
  if (span.usage) {
    facts.push(`${short(promptTokens(span.usage))} tokens in, ${short(span.usage.output_tokens)} out`);
    if (span.usage.cost_usd) {
      facts.push(money(span.usage.cost_usd));
    }
  }
  if (span.attempts > 1) {
    facts.push(`${span.attempts} tries (${visible(span.reason)})`);
  } else if (span.kind === 'approval' && span.reason) {
    facts.push(visible(span.reason));
  }
  if (span.state === 'error') {
    facts.push('failed');
  }
  return facts.join(' · ');
}

/** How much of the whole the model, the tools and the people took; calls side by side count once. */
function summary(spans: readonly Span[], now: number): string {
  const said = KINDS.map(kind => [kind, covered(spans.filter(span => span.kind === kind), now)] as const)
    .filter(([, ms]) => ms > 0)
    .map(([kind, ms]) => `${{ chat: 'the model', tool: 'tools', approval: 'people' }[kind]} ${took(ms)}`);
  return said.length ? `Time went to ${said.join(', ')}` : 'It took no time';
}

function covered(spans: readonly Span[], now: number): number {
  let sum = 0;
  let until = 0;
  for (const span of [...spans].sort((a, b) => a.start - b.start)) {
    const end = span.end || now;
    sum += Math.max(0, end - Math.max(span.start, until));
    until = Math.max(until, end);
  }
  return sum;
}

function useNow(often: boolean): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = often ? setInterval(() => setNow(Date.now()), 500) : 0;
    return () => clearInterval(timer);
  }, [often]);
  return now;
}
