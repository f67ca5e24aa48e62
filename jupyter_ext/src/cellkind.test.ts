import { expect, test } from 'vitest';
import { mimeTypeOf } from './cellkind';

test('cells for Python and IPython are highlighted as Python, prompts as Markdown', () => {
  for (const cell of ['%%python\nx = 1', '\n%%py x', '%time x', '%%bash\nls', '!ls', '?df']) {
    expect(mimeTypeOf(cell)).toBe('text/x-ipython');
  }
  for (const cell of ['', 'Hello', '/help', 'x = 1', '% of customers', '%%agent --new\nHi **you**']) {
    expect(mimeTypeOf(cell)).toBe('text/x-ipythongfm');
  }
});
