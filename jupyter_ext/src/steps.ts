// A run told again: where its steps are, and how long each is looked at.
import type { AnyEvent } from '../../widgets/src/events';

const STEPS = new Set(['message', 'thought', 'tool_call', 'tool_result', 'approval_request', 'approval_answer', 'error', 'undo', 'compaction']);
const SHORTEST = 250;
const LONGEST = 3_000;

export const SPEEDS = [0.5, 1, 2, 4, 8];

/** Places in `events` behind which something new is seen. */
export function stepsOf(events: readonly AnyEvent[]): number[] {
  return events.flatMap((event, place) => (STEPS.has(event.type) && !(event.type === 'thought' && !event.text.trim()) ? [place] : []));
}

/** Milliseconds until step `next`: as long as it took then, within bounds, at `speed`. */
export function pause(events: readonly AnyEvent[], steps: readonly number[], next: number, speed: number): number {
  const [here, there] = [events[steps[next - 1] ?? 0], events[steps[next] ?? 0]];
  const took = here && there ? there.timestamp - here.timestamp : 0;
  return Math.min(LONGEST, Math.max(SHORTEST, took)) / speed;
}
