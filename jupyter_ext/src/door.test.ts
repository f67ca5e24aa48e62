import { expect, it as test } from 'vitest';
import { bodyOf, slug, words } from './door';

test('a command line is split where its writer meant it', () => {
  expect(words(`npx -y  "my server" --name='a b' x`)).toEqual(['npx', '-y', 'my server', '--name=', 'a b', 'x']);
  expect(words('')).toEqual([]);
});

test('the header of a skill is not part of what is read', () => {
  expect(bodyOf('---\nname: tea\n---\n# Tea\n')).toBe('# Tea\n');
  expect(bodyOf('# No header\n---\n')).toBe('# No header\n---\n');
});

test('what was typed becomes a name', () => {
  expect(slug('  Weekly Report! ')).toBe('weekly-report');
});
