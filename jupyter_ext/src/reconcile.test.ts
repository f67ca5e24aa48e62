import type { JupyterFrontEnd } from '@jupyterlab/application';
import { ServerConnection } from '@jupyterlab/services';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { Api } from './api';
import { Hub } from './hub';
import { Reconciler } from './reconcile';

// What draws needs a browser.
vi.mock('@jupyterlab/ui-components', () => ({ ReactWidget: {} }));
vi.mock('dompurify', () => ({ default: { addHook: () => undefined } }));

const signal = { connect: () => undefined, disconnect: () => undefined };
const run = { id: 'r1', session_id: 's', prompt: 'Think', status: 'completed', reason: '', head: 2, created_ms: 2_000, ended_ms: 3_000, used: {}, options: { cell: 'c1' } };
const session = { id: 's', name: 'main', title: '', workspace: '/work', notebook: '/work/a.ipynb', updated_ms: 2_000 };

/** A cell of a notebook that was saved before its run began. */
function cell() {
  const held: object[] = [];
  const outputs = {
    get length() {
      return held.length;
    },
    get: (at: number) => ({ metadata: {}, toJSON: () => held[at] }),
    set: (at: number, output: object) => void (held[at] = output),
    add: (output: object) => void held.push(output),
    clear: () => void (held.length = 0)
  };
  return { held, model: { type: 'code', id: 'c1', sharedModel: { getSource: () => '%%agent\nThink' }, outputs } };
}

let arrive = (): void => undefined;
let output = Promise.resolve();
const asked: string[] = [];
const fetched = async ({ url }: Request): Promise<Response> => {
  asked.push(url);
  await (url.includes('/output') ? output : null);
  const answers: Array<[RegExp, object]> = [
    [/output/, { data: { 'text/plain': 'whole' }, metadata: {} }],
    [/events/, { events: [], head: 0 }],
    [/sessions/, { sessions: [session] }],
    [/runs/, { runs: [run] }],
    [/defaults/, { root: '/work' }]
  ];
  return new Response(JSON.stringify(answers.find(([path]) => path.test(url))?.[1] ?? { days: [] }));
};

const settings = ServerConnection.makeSettings({ baseUrl: 'http://localhost/', fetch: fetched as typeof fetch });

beforeAll(() => {
  vi.stubGlobal('window', Object.assign(new EventTarget(), { setTimeout: () => 0 }));
  vi.stubGlobal('document', Object.assign(new EventTarget(), { cookie: '' }));
});

afterAll(() => vi.unstubAllGlobals());

async function opened(held: ReturnType<typeof cell>): Promise<void> {
  const hub = new Hub(new Api(settings));
  await hub.refresh();
  const panel = {
    id: 'p',
    isDisposed: false,
    disposed: signal,
    sessionContext: { statusChanged: signal, session: null },
    context: { path: 'a.ipynb', ready: Promise.resolve(), model: { readOnly: false, cells: [held.model] }, contentsModel: { last_modified: new Date(1_000).toISOString() } },
    content: { activeCellIndex: 0, widgets: [] }
  };
  new Reconciler({ shell: { currentChanged: signal, widgets: () => [panel] } } as unknown as JupyterFrontEnd, hub).start();
}

test('a cell gets the run that it was saved without', async () => {
  const one = cell();
  await opened(one);
  await vi.waitFor(() => expect(one.held).toEqual([{ output_type: 'display_data', data: { 'text/plain': 'whole' }, metadata: {} }]), { timeout: 30_000 });
});

test('a cell that is run anew while its earlier run is being fetched keeps what it shows now', async () => {
  const one = cell();
  output = new Promise(resolve => (arrive = resolve));
  asked.length = 0;
  await opened(one);
  await vi.waitFor(() => expect(asked[asked.length - 1]).toContain('/output'), { timeout: 30_000 });
  const live = { output_type: 'display_data', data: { 'application/vnd.jupyter.widget-view+json': {} }, metadata: {} };
  one.held.push(live);
  arrive();
  await new Promise(resolve => setTimeout(resolve, 20));
  expect(one.held).toEqual([live]);
});
