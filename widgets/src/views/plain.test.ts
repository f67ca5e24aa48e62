import { describe, expect, it } from 'vitest';
import { oneLine, shortened, visible } from './plain';

describe('text of strangers', () => {
  it('spells out characters that deceive, and replaces those that control', () => {
    expect(visible('a\u202eb\u0000c')).toBe('a⟦U+202E⟧b�c');
  });

  it('fits on one line', () => {
    expect(oneLine('  a\n b\t c ')).toBe('a b c');
    expect(oneLine('x'.repeat(500), 10)).toBe(`${'x'.repeat(9)}…`);
  });

  it('keeps head and tail of what is too long, and says how much is missing', () => {
    const text = shortened('a'.repeat(50_000));
    expect(text.length).toBeLessThan(21_000);
    expect(text).toContain('30,000 characters are not shown');
  });
});
