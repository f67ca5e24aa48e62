// The plan as a checklist.
import type { RunState } from '../run';
import { visible } from './plain';

const STEPS = { completed: '✓', in_progress: '', pending: '' };

export function Plan({ run }: { run: RunState }) {
  return (
    <ol className="agk-plan" aria-label="Plan">
      {run.todo.map((item, index) => (
        <li key={index} className={`agk-step agk-step-${item.status}`}>
          <span className="agk-box" aria-hidden="true">
            {STEPS[item.status]}
          </span>
          {visible(item.text)}
          <span className="agk-hidden">, {item.status.replace('_', ' ')}</span>
        </li>
      ))}
    </ol>
  );
}
