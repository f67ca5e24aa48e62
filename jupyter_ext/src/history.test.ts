import { describe, expect, it } from 'vitest';
import { Typed } from './history';

class Kept {
  constructor(private text: string | null = null) {}
  getItem = (): string | null => this.text;
  setItem = (_: string, text: string): void => {
    this.text = text;
  };
}

describe('what was typed before', () => {
  it('is walked through and back to what was being written', () => {
    const kept = new Kept();
    const first = new Typed(kept);
    first.add('one');
    first.add('two');
    const typed = new Typed(kept);
    expect(typed.step(-1, 'now')).toBeNull();
    expect([typed.step(1, 'now'), typed.step(1, 'two'), typed.step(1, 'one')]).toEqual(['two', 'one', null]);
    expect([typed.step(-1, 'one'), typed.step(-1, 'two'), typed.step(-1, 'now')]).toEqual(['two', 'now', null]);
  });

  it('holds each text once, and survives what is no list', () => {
    const kept = new Kept('{"bad');
    const typed = new Typed(kept);
    typed.add('one');
    typed.add('two');
    typed.add('one');
    expect(JSON.parse(kept.getItem()!)).toEqual(['one', 'two']);
  });
});
