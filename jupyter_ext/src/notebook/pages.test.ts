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
  context: { path, ready: Promise.resolve(), pathChanged: NO_SIGNAL, saveState: NO_SIGNAL }
});

/** What the server takes to be open; the first that it is told takes it longer than the next. */
let known: string[] = [];
let told = 0;
/** How often asking for a question, or answering it, fails before it is heard. */
const failing = { claims: 0, answers: 0 };
const answers: unknown[] = [];

const fetched = async (request: Request): Promise<Response> => {
  const kind = /\/(claims|answers)\//.exec(request.url)?.[1] as keyof typeof failing | undefined;
  if (kind) {
    if (failing[kind]-- > 0) {
      throw new TypeError('failed to fetch');
    }
    if (kind === 'answers') {
      answers.push(await request.json());
    }
    return new Response(JSON.stringify({ yours: true }));
  }
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

/** The pages, and how a notebook is opened in one. */
function opening(): { pages: NotebookPages; add: (_: unknown, panel: object) => void } {
  let add: (_: unknown, panel: object) => void = () => undefined;
  const tracker = { widgetAdded: { connect: (listener: typeof add) => (add = listener) }, forEach: () => undefined };
  const app = { serviceManager: { contents: { localPath: (path: string) => path } } };
  const pages = new NotebookPages(app as unknown as JupyterFrontEnd, new Api(settings), tracker as unknown as INotebookTracker, () => undefined);
  return { pages, add };
}

test('the server knows what is open last, however long it took to hear of it', async () => {
  const { add } = opening();
  add(null, panelOf('a.ipynb'));
  await new Promise(resolve => setTimeout(resolve, 80));
  add(null, panelOf('b.ipynb'));
  await vi.waitFor(() => expect(told).toBe(2), { timeout: 30_000 });
  await new Promise(resolve => setTimeout(resolve, 200));
  expect(known).toEqual(['a.ipynb', 'b.ipynb']);
});

test.each(['claims', 'answers'] as const)('what the server did not hear while it was away (%s) is said when it asks again', async kind => {
  const { pages, add } = opening();
  add(null, panelOf('a.ipynb'));
  await new Promise(resolve => setTimeout(resolve, 20));
  answers.length = 0;
  failing[kind] = 1;
  const question = { id: `q-${kind}`, path: 'a.ipynb', action: 'read', cells: [] } as const;
  pages.asked(question);
  await vi.waitFor(() => expect(failing[kind]).toBe(0), { timeout: 30_000 });
  await new Promise(resolve => setTimeout(resolve)); // the page has heard that it failed
  expect(answers).toEqual([]);
  pages.asked(question); // as it does on each stream that is opened, until it has an answer
  pages.asked(question);
  await vi.waitFor(() => expect(answers).not.toEqual([]), { timeout: 30_000 });
  await new Promise(resolve => setTimeout(resolve, 20)); // a second one would come now
  expect(answers).toHaveLength(1);
});
