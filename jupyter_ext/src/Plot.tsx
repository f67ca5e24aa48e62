// Bars over days, small and readable without seeing them: each bar is named, and the arrow keys walk along.
import { KeyboardEvent, useState } from 'react';

export interface Bar {
  name: string;
  value: number;
  /** The lower part of it, in another colour. */
  part?: number;
}

interface Props {
  title: string;
  bars: readonly Bar[];
  say: (value: number) => string;
  partSays?: string;
}

const WIDTH = 300;
const HEIGHT = 72;

export function Plot({ title, bars, say, partSays }: Props) {
  const [chosen, setChosen] = useState<number | null>(null);
  const most = Math.max(...bars.map(bar => bar.value), 0);
  const step = WIDTH / Math.max(1, bars.length);
  const height = (value: number): number => (most ? Math.max(value > 0 ? 1.5 : 0, (value / most) * HEIGHT) : 0);
  const told = (bar: Bar): string => `${dayName(bar.name)}: ${say(bar.value)}${partSays && bar.part ? `, ${say(bar.part)} ${partSays}` : ''}`;
  const move = (event: KeyboardEvent): void => {
    const at = { ArrowLeft: (chosen ?? bars.length) - 1, ArrowRight: (chosen ?? -1) + 1, Home: 0, End: bars.length - 1 }[event.key];
    if (at !== undefined) {
      event.preventDefault();
      event.stopPropagation();
      setChosen(Math.min(bars.length - 1, Math.max(0, at)));
    }
  };
  const shown = chosen === null ? undefined : bars[chosen];
  const sum = bars.reduce((total, bar) => total + bar.value, 0);
  return (
    <figure className="agk-plot">
      <figcaption>
        <span>{title}</span>
        <span className="agk-dim agk-number" aria-live="polite">
          {shown ? told(shown) : `most ${say(most)} a day`}
        </span>
      </figcaption>
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`${title}: ${say(sum)} in ${bars.length} days, at most ${say(most)} a day. The arrow keys name single days.`}
        tabIndex={0}
        onKeyDown={move}
        onBlur={() => setChosen(null)}
        onPointerLeave={() => setChosen(null)}
      >
        {bars.map((bar, at) => (
          <g key={bar.name} className={at === chosen ? 'agk-bar-chosen' : ''} onPointerEnter={() => setChosen(at)}>
            <rect className="agk-bar-room" x={at * step} y={0} width={step} height={HEIGHT} />
            <rect className="agk-bar-all" x={at * step + step * 0.12} y={HEIGHT - height(bar.value)} width={step * 0.76} height={height(bar.value)} />
            {bar.part ? <rect className="agk-bar-part" x={at * step + step * 0.12} y={HEIGHT - height(bar.part)} width={step * 0.76} height={height(bar.part)} /> : null}
          </g>
        ))}
      </svg>
      <div className="agk-ends agk-dim" aria-hidden="true">
        <span>{bars[0] && dayName(bars[0].name)}</span>
        <span>today</span>
      </div>
    </figure>
  );
}

function dayName(day: string): string {
  return new Date(`${day}T00:00:00Z`).toLocaleDateString('en', { month: 'short', day: 'numeric', timeZone: 'UTC' });
}
