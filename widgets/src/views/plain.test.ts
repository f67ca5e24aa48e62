import { describe, expect, it } from 'vitest';
import { oneLine, parted, shortened, visible } from './plain';

describe('text of strangers', () => {
  it('spells out characters that deceive, and replaces those that control', () => {
    expect(visible('a\u202eb\u0000c')).toBe('a⟦U+202E⟧b�c');
  });

  it('fits on one line', () => {
    expect(oneLine('  a\n b\t c ')).toBe('a b c');
    expect(oneLine('x'.repeat(500), 10)).toBe(`${'x'.repeat(9)}…`);
  });

  it('parts a prompt from what stands below it because it was named', () => {
    const below = 'DataFrame `df` of the person\'s kernel:\n```\ndf: 2 rows\n```\n\nFile `a.csv`:\n```\n1\n```';
    expect(parted(`Sum \`df\`\n\n${below}`)).toEqual({ typed: 'Sum `df`', names: ['df', 'a.csv'], below });
    expect(parted('File `x`:\n1')).toEqual({ typed: 'File `x`:\n1', names: [], below: '' });
  });

  it('keeps head and tail of what is too long, and says how much is missing', () => {
    const text = shortened('a'.repeat(50_000));
    expect(text.length).toBeLessThan(21_000);
    expect(text).toContain('30,000 characters are not shown');
  });
});
