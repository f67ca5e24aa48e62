// What was typed before, for the arrow keys; kept by this browser.
const KEY = 'agent-kernel:typed';
const MOST = 100;

export class Typed {
  private place = -1;
  private unsent = '';

  constructor(private readonly store: Pick<Storage, 'getItem' | 'setItem'>) {}

  private all(): string[] {
    try {
      const kept: unknown = JSON.parse(this.store.getItem(KEY) ?? '[]');
      return Array.isArray(kept) ? kept.filter((text): text is string => typeof text === 'string') : [];
    } catch {
      return [];
    }
  }

  add(text: string): void {
    this.place = -1;
    try {
      this.store.setItem(KEY, JSON.stringify([text, ...this.all().filter(other => other !== text)].slice(0, MOST)));
    } catch {
      // A browser without storage forgets, and works.
    }
  }

  /** The text before (`1`) or after (`-1`) this one; null at either end. */
  step(by: 1 | -1, now: string): string | null {
    const all = this.all();
    const next = this.place + by;
    if (next < -1 || next >= all.length) {
      return null;
    }
    if (this.place === -1) {
      this.unsent = now;
    }
    this.place = next;
    return next === -1 ? this.unsent : (all[next] ?? null);
  }

  /** Whatever is typed now begins anew. */
  reset(): void {
    this.place = -1;
  }
}
