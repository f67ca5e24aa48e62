import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { COMMANDS, completionAt, mention, namesIn, parse } from './commands';

describe('a line that begins with a slash', () => {
  it('is a command with its argument', () => {
    expect(parse(' /undo  a b.txt ')).toEqual({ name: 'undo', argument: 'a b.txt' });
    expect(parse('/stop')).toEqual({ name: 'stop', argument: '' });
  });

  it('says what it may have meant', () => {
    expect(parse('/stp')).toEqual({ problem: '/stp is not a command. Did you mean /status?' });
    expect(parse('/zzz')).toEqual({ problem: '/zzz is not a command. See /help.' });
    expect(parse('/constructor')).toEqual({ problem: '/constructor is not a command. Did you mean /cost?' });
  });

  it('is known here or sent to a cell, when the magic knows it', () => {
    const magic = readFileSync(fileURLToPath(new URL('../../agent_kernel/shell/slash.py', import.meta.url)), 'utf8');
    const names = [...magic.matchAll(/^@command\(\s*"(\w+)"/gm)].map(found => found[1]!);
    expect(names).toContain('schedule');
    for (const name of names) {
      expect(parse(`/${name}`)).toMatchObject(name in COMMANDS ? { name } : { problem: `/${name} is a command of notebook cells: %agent /${name}` });
    }
  });

  it('is a prompt where it names a path or is no word', () => {
    expect(parse('/data/sales.csv is large')).toBeNull();
    expect(parse('Analyse /stop')).toBeNull();
    expect(parse('/')).toBeNull();
  });
});

describe('what is completed before the caret', () => {
  it('is a command at the beginning only', () => {
    expect(completionAt('/st', 3)).toEqual({ from: 0, kind: 'command', typed: 'st' });
    expect(completionAt('a /st', 5)).toBeNull();
  });

  it('is a file after an @ that begins a word', () => {
    expect(completionAt('See @data/s and', 11)).toEqual({ from: 4, kind: 'file', typed: 'data/s' });
    expect(completionAt('mail@example', 12)).toBeNull();
  });

  it('names variables outside of code and paths', () => {
    expect(namesIn('Join @sales, @größe! and @a.csv by @dir/x but `@no` or mail@example (@b)')).toEqual(['sales', 'größe', 'b']);
  });

  it('is inserted with quotes where a blank would end it', () => {
    expect([mention('a/b.csv'), mention('a b.csv'), mention('a"b.csv')]).toEqual(['@a/b.csv', '@"a b.csv"', '@"ab.csv"']);
  });
});
