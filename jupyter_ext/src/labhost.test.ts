import type { JupyterFrontEnd } from '@jupyterlab/application';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { LabHost } from './labhost';

vi.mock('@jupyterlab/apputils', () => ({})); // JupyterLab's own, which need a browser
vi.mock('@jupyterlab/notebook', () => ({}));

/** The browser's, as far as it is used here. */
class Reader {
  result = '';
  onload = (): void => undefined;

  readAsDataURL(file: File): void {
    void file.text().then(text => {
      this.result = `data:;base64,${btoa(text)}`;
      this.onload();
    });
  }
}

beforeAll(() => void vi.stubGlobal('FileReader', Reader));
afterAll(() => vi.unstubAllGlobals());

test('of two files of one name that arrive together neither takes the place of the other', async () => {
  const files = new Map<string, string>();
  const contents = {
    get: async () => ({ type: 'directory', content: [...files.keys()].map(name => ({ name, type: 'file' })) }),
    save: async (path: string, { content }: { content: string }) => void files.set(path.split('/').pop()!, atob(content))
  };
  const host = new LabHost({ serviceManager: { contents } } as unknown as JupyterFrontEnd, null, null);
  const names = await Promise.all(['one', 'two'].map(text => host.upload('work', new File([text], 'data.csv'))));
  expect(names.map(name => files.get(name))).toEqual(['one', 'two']);
});

test('a file that cannot be kept does not keep out the next', async () => {
  const files = new Map<string, string>();
  const contents = {
    get: async () => ({ type: 'directory', content: [] }),
    save: async (path: string) => {
      if (path.endsWith('bad.csv')) {
        throw new Error('full');
      }
      files.set(path, '');
    }
  };
  const host = new LabHost({ serviceManager: { contents } } as unknown as JupyterFrontEnd, null, null);
  const [bad, good] = await Promise.allSettled(['bad.csv', 'good.csv'].map(name => host.upload('work', new File([''], name))));
  expect([bad!.status, good!.status, files.size]).toEqual(['rejected', 'fulfilled', 1]);
});

test('where it cannot be seen which names are taken nothing is kept', async () => {
  const files = new Map([['work/data.csv', 'mine']]);
  const contents = {
    get: () => Promise.reject(new Error('The server is away.')),
    save: async (path: string) => void files.set(path, 'new')
  };
  const host = new LabHost({ serviceManager: { contents } } as unknown as JupyterFrontEnd, null, null);
  await expect(host.upload('work', new File(['new'], 'data.csv'))).rejects.toThrow('away');
  expect(files.get('work/data.csv')).toBe('mine');
  expect(await host.list('work')).toEqual([]);
});
