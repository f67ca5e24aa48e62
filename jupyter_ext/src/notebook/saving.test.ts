import { Signal } from '@lumino/signaling';
import { expect, test, vi } from 'vitest';
import { save, watch } from './saving';

type State = 'started' | 'completed';

/** A document as JupyterLab saves it: each saving ends when it is told to. */
function changed() {
  const ends: Array<() => void> = [];
  const context = {
    model: { dirty: true, collaborative: false },
    saveState: new Signal<unknown, State>({}),
    async save(): Promise<void> {
      context.saveState.emit('started');
      await new Promise<void>(resolve => ends.push(resolve));
      context.model.dirty = false;
      context.saveState.emit('completed');
    }
  };
  watch(context as unknown as Parameters<typeof watch>[0]);
  return { context: context as typeof context & Parameters<typeof save>[0], ends };
}

test('what is just being saved is saved afterwards, and only if something is left to save', async () => {
  const { context, ends } = changed();
  void context.save();
  const [idle, again] = [save(context), changed()];
  await Promise.resolve();
  expect(ends).toHaveLength(1);
  ends[0]!();
  expect(await idle).toBe('');
  expect(ends).toHaveLength(1);

  void again.context.save();
  const saved = save(again.context);
  again.ends[0]!();
  again.context.saveState.connect(() => void (again.context.model.dirty ||= again.ends.length === 1)); // changed meanwhile
  await vi.waitFor(() => expect(again.ends).toHaveLength(2), { timeout: 30_000 });
  again.ends[1]!();
  expect(await saved).toBe('');
});

test('a saving that asks the person is not waited for without end', async () => {
  vi.useFakeTimers();
  const { context, ends } = changed();
  void context.save();
  const saved = save(context);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(ends).toHaveLength(2);
  await vi.advanceTimersByTimeAsync(20_000);
  expect(await saved).toContain('may be asking the person');
  vi.useRealTimers();
});
