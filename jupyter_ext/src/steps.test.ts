import { expect, test } from 'vitest';
import type { AnyEvent } from '../../widgets/src/events';
import { pause, stepsOf } from './steps';

const event = (type: string, timestamp: number, text = 'x') => ({ type, timestamp, text }) as unknown as AnyEvent;
const events = [event('status', 0), event('message', 100), event('thought', 200, ' '), event('tool_call', 1_100), event('tool_start', 1_200), event('tool_result', 60_000)];

test('a step is where something new is seen', () => {
  expect(stepsOf(events)).toEqual([1, 3, 5]);
});

test('steps take as long as they took, but nobody waits a minute', () => {
  const steps = stepsOf(events);
  expect(pause(events, steps, 1, 1)).toBe(1_000);
  expect(pause(events, steps, 1, 4)).toBe(250);
  expect(pause(events, steps, 2, 1)).toBe(3_000);
});
