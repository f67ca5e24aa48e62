import type { JupyterFrontEnd } from '@jupyterlab/application';
import { YNotebook } from '@jupyter/ydoc';
import type { INotebookTracker } from '@jupyterlab/notebook';
import { ServerConnection } from '@jupyterlab/services';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { Api } from '../api';
import { NotebookPages } from './pages';

vi.mock('@jupyterlab/notebook', () => ({})); // JupyterLab's own, which needs a browser

const NO_SIGNAL = { connect: () => undefined };
const panelOf = (path: string): object => ({
  isDisposed: false,
  disposed: NO_SIGNAL,
  revealed: Promise.resolve(),
  model: { sharedModel: new YNotebook() },
  context: { path, ready: Promise.resolve(), pathChanged: NO_SIGNAL }
});

/** What the server takes to be open; the first that it is told takes it longer than the next. */
let known: string[] = [];
let told = 0;
const fetched = async (request: Request): Promise<Response> => {
  const { notebooks } = (await request.json()) as { notebooks: string[] };
  await new Promise(resolve => setTimeout(resolve, told++ ? 0 : 150));
  known = notebooks;
  return new Response('{}');
};
const settings = ServerConnection.makeSettings({ baseUrl: 'http://localhost/', fetch: fetched as typeof fetch });

beforeAll(() => {
  vi.stubGlobal('window', { setTimeout });
  vi.stubGlobal('document', { cookie: '' });
  vi.stubGlobal('localStorage', { length: 0, key: () => null, getItem: () => null, setItem: () => undefined, removeItem: () => undefined });
});
afterAll(() => vi.unstubAllGlobals());

test('the server knows what is open last, however long it took to hear of it', async () => {
  let add: (_: unknown, panel: object) => void = () => undefined;
  const tracker = { widgetAdded: { connect: (listener: typeof add) => (add = listener) }, forEach: () => undefined };
  const app = { serviceManager: { contents: { localPath: (path: string) => path } } };
  new NotebookPages(app as unknown as JupyterFrontEnd, new Api(settings), tracker as unknown as INotebookTracker, () => undefined);
  add(null, panelOf('a.ipynb'));
  await new Promise(resolve => setTimeout(resolve, 80));
  add(null, panelOf('b.ipynb'));
  await vi.waitFor(() => expect(told).toBe(2));
  await new Promise(resolve => setTimeout(resolve, 200));
  expect(known).toEqual(['a.ipynb', 'b.ipynb']);
});
