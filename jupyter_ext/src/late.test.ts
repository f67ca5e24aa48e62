import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { lookUntil, whileWanted } from './late';

/** A question, and what answers it. */
function asked<T>() {
  let answer!: (value: T) => void;
  let fail!: (error: Error) => void;
  const work = new Promise<T>((resolve, reject) => ((answer = resolve), (fail = reject)));
  return { work, answer, fail };
}

describe('what comes late', () => {
  it('is told while it is wanted', async () => {
    const told: unknown[] = [];
    const tell = (what: unknown): unknown => told.push(what);
    await whileWanted(Promise.resolve('found'), () => true, tell, tell);
    await whileWanted(Promise.reject('failed'), () => true, tell, tell);
    expect(told).toEqual(['found', 'failed']);
  });

  it('takes nothing from what was chosen since, found or failed', async () => {
    const told: unknown[] = [];
    const tell = (what: unknown): unknown => told.push(what);
    let chosen = 'old';
    const [old, broken] = [asked<string>(), asked<string>()];
    const waits = [old, broken].map(({ work }) => whileWanted(work, () => chosen === 'old', tell, tell));
    chosen = 'new';
    old.answer('of the old one');
    broken.fail(new Error('the old one is gone'));
    await Promise.all(waits);
    expect(told).toEqual([]);
  });
});

describe('looking until something is so', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('tells it once, though a second look was on its way', async () => {
    const looks = [asked<string>(), asked<string>()];
    const tell = vi.fn();
    let at = 0;
    lookUntil(() => looks[at++]!.work, now => now === 'kept', tell, 10);
    await vi.advanceTimersByTimeAsync(25);
    expect(at).toBe(2);
    looks.forEach(({ answer }) => answer('kept'));
    await vi.advanceTimersByTimeAsync(50);
    expect(tell).toHaveBeenCalledTimes(1);
    expect(at).toBe(2);
  });

  it('goes on after a look that failed, and tells nothing once it was ended', async () => {
    const looks = [asked<string>(), asked<string>()];
    const tell = vi.fn();
    let at = 0;
    const end = lookUntil(() => looks[at++]!.work, now => now === 'kept', tell, 10);
    await vi.advanceTimersByTimeAsync(15);
    looks[0]!.fail(new Error('not there'));
    await vi.advanceTimersByTimeAsync(10);
    expect(at).toBe(2);
    end();
    looks[1]!.answer('kept');
    await vi.advanceTimersByTimeAsync(50);
    expect(tell).not.toHaveBeenCalled();
  });
});
