import { describe, expect, it } from 'vitest';
import { folderOf, freeName, fromRoot, join, nameOf, safeName } from './paths';

describe('paths', () => {
  it('of a workspace are told from the root that Jupyter shows', () => {
    expect(fromRoot('/home/me', '/home/me/a/b')).toBe('a/b');
    expect(fromRoot('/home/me/', '/home/me')).toBe('');
    expect(fromRoot('/home/me', '/home/meanwhile')).toBeNull();
  });

  it('are taken apart and joined', () => {
    expect([folderOf('a/b/c.txt'), folderOf('c.txt'), nameOf('/a/b/'), join('', 'a', 'b/')]).toEqual(['a/b', '', 'b', 'a/b/']);
  });
});

describe('the name of an uploaded file', () => {
  it('is one that is free', () => {
    const taken = new Set(['data.csv', 'data-1.csv', 'Makefile', '.env']);
    expect(['data.csv', 'Makefile', '.env', 'new.csv'].map(name => freeName(name, taken))).toEqual(['data-2.csv', 'Makefile-1', '.env-1', 'new.csv']);
  });

  it('leads nowhere else and hides nothing', () => {
    expect(['../../etc/passwd', '.bashrc', 'a\u0000b', '...', ''].map(safeName)).toEqual(['-..-etc-passwd', 'bashrc', 'a-b', 'file', 'file']);
  });
});
