import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { ServerConnection } from '@jupyterlab/services';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { Api, type RunRow } from './api';
import { Hub } from './hub';

const IDS = Array.from({ length: 60 }, (_, number) => `r${number}`);
const row = (id: string) => ({ id, session_id: 's', prompt: id, status: 'completed', reason: '', head: 2, created_ms: id === 'old' ? 0 : 1, ended_ms: 2, used: {}, options: {} });
const turn = (id: string) => ({ type: 'context_update', run_id: id, seq: 1, version: 1, turn: 1, timestamp: 1, model: 'demo', input_tokens: 1, output_tokens: 1, cache_read_tokens: 0, cache_write_tokens: 0, cost_usd: 0, context_tokens: 1, context_window: 10 });
const ended = (id: string) => ({ type: 'status', run_id: id, seq: 2, version: 1, turn: 1, timestamp: 2, status: 'completed', reason: '' });

/** What a server says of sixty runs that have ended. */
function answer(path: string): unknown {
  const run = /runs\/(\w+)\/events/.exec(path)?.[1];
  if (run) {
    return { events: path.includes('after=0') ? [turn(run), ended(run)] : [], head: 2 };
  }
  const one = /runs\/(\w+)(\/retry)?(\?|$)/.exec(path)?.[1];
  return path.includes('/runs?') ? { runs: ids.map(row) } : one ? row(one) : { sessions: [], days: [] };
}

let ids = IDS;
const posts: string[] = [];

let listed: Promise<void> = Promise.resolve();

const fetched = async (request: Request): Promise<Response> => {
  const body = JSON.stringify(answer(request.url));
  if (request.method === 'POST') {
    posts.push(request.url);
  }
  await (request.url.includes('/runs?') ? listed : null);
  return new Response(body);
};
const settings = ServerConnection.makeSettings({ baseUrl: 'http://localhost/', fetch: fetched as typeof fetch });

let collect: () => void;

beforeAll(() => {
  setFlagsFromString('--expose-gc');
  collect = runInNewContext('gc') as () => void;
  vi.stubGlobal('window', Object.assign(new EventTarget(), { setTimeout: () => 0 }));
  vi.stubGlobal('document', Object.assign(new EventTarget(), { cookie: '' }));
});

afterAll(() => vi.unstubAllGlobals());

test('of runs whose folds gave way nothing is held but their rows', async () => {
  const hub = new Hub(new Api(settings));
  await hub.refresh();
  const held: WeakRef<object>[] = [];
  for (const id of IDS) {
    await hub.load(id);
    held.push(new WeakRef(hub.fold(id)!.turns));
  }
  await new Promise(resolve => setTimeout(resolve));
  collect();
  const alive = held.filter(one => one.deref()).length;
  expect(hub.snapshot().runs).toHaveLength(IDS.length);
  expect(alive).toBeGreaterThan(0);
  expect(alive).toBeLessThanOrEqual(40);
  hub.dispose();
});

test('a run begun while the list is on its way stays, and stays shown', async () => {
  const hub = new Hub(new Api(settings));
  await hub.refresh();
  let arrive = (): void => undefined;
  listed = new Promise(resolve => (arrive = resolve));
  const refreshed = hub.refresh();
  const begun = { ...row('new'), created_ms: 9 } as unknown as RunRow;
  await hub.follow(begun);
  await hub.select('new');
  arrive();
  await refreshed;
  expect(hub.snapshot().selected).toBe('new');
  expect(hub.row('new')).toBe(begun);
  await hub.refresh();
  expect(hub.row('new')).toBeNull(); // it was there when the list was asked for, and is not in it
  hub.dispose();
});

test('a replay that is still on its way takes nothing from what was chosen since', async () => {
  const hub = new Hub(new Api(settings));
  await hub.refresh();
  const replayed = hub.replay('r1');
  const chosen = hub.select('r2');
  await Promise.all([replayed, chosen]);
  const { selected, replaying } = hub.snapshot();
  expect([selected, replaying]).toEqual(['r2', false]);
  hub.dispose();
});

test('a run that is not in the list is not replayed over what was chosen since', async () => {
  const hub = new Hub(new Api(settings));
  await hub.refresh();
  const replayed = hub.replay('elsewhere');
  await hub.select('r2');
  await replayed;
  const { selected, replaying } = hub.snapshot();
  expect([selected, replaying]).toEqual(['r2', false]);
  hub.dispose();
});

test('what was forgotten does not come back with a list that was asked for before', async () => {
  const hub = new Hub(new Api(settings));
  await hub.refresh();
  let arrive = (): void => undefined;
  listed = new Promise(resolve => (arrive = resolve));
  const before = hub.refresh();
  await new Promise(resolve => setTimeout(resolve)); // the server has answered, the answer is under way
  ids = [];
  const forgotten = hub.forget('s');
  await new Promise(resolve => setTimeout(resolve));
  listed = Promise.resolve();
  arrive();
  await Promise.all([before, forgotten]);
  expect(hub.snapshot().runs).toEqual([]);
  ids = IDS;
  hub.dispose();
});

test('asked twice in a moment for the same again, a run is retried once', async () => {
  const hub = new Hub(new Api(settings));
  await hub.refresh();
  const before = posts.length;
  await Promise.all([hub.retry('r1'), hub.retry('r1')]);
  expect(posts.slice(before)).toHaveLength(1);
  hub.dispose();
});

test('the oldest run of all goes from the list when it was forgotten elsewhere', async () => {
  const hub = new Hub(new Api(settings));
  ids = ['r1', 'old'];
  await hub.refresh();
  await hub.select('old');
  ids = ['r1'];
  await hub.refresh();
  expect(hub.row('old')).toBeNull();
  expect(hub.snapshot().selected).toBeNull();
  ids = IDS;
  hub.dispose();
});

test('a run behind the first page goes when it was forgotten elsewhere, and the stream goes on', async () => {
  const asked: string[] = [];
  const forgotten = JSON.stringify({ error: { type: 'RunNotFound', message: 'There is no run old.' } });
  const without = async (request: Request): Promise<Response> => {
    asked.push(request.url);
    return /runs\/old(\?|$)|run=old/.test(request.url) ? new Response(forgotten, { status: 404 }) : fetched(request);
  };
  ids = Array.from({ length: 200 }, (_, number) => `r${number}`);
  const hub = new Hub(new Api({ ...settings, fetch: without as typeof fetch }));
  await hub.refresh();
  void hub.select('old');
  await hub.follow(row('old') as unknown as RunRow);
  await vi.waitFor(() => expect(hub.snapshot().selected).toBeNull(), { timeout: 30_000 });
  await vi.waitFor(() => expect(asked[asked.length - 1]).toContain('page='), { timeout: 30_000 });
  expect(asked.filter(url => url.includes('run=old'))).toHaveLength(1);
  ids = IDS;
  hub.dispose();
});

test('a run that was chosen while the server was away is shown when it is back', async () => {
  let away = true;
  const sometimes = async (request: Request): Promise<Response> => {
    if (away && request.url.includes('/events')) {
      throw new TypeError('failed to fetch');
    }
    return fetched(request);
  };
  const hub = new Hub(new Api({ ...settings, fetch: sometimes as typeof fetch }));
  await hub.refresh();
  await hub.select('r1');
  expect(hub.fold('r1')).toBeNull();
  away = false;
  await hub.refresh(); // as it does when the stream is open again
  expect(hub.fold('r1')?.status).toBe('completed');
  hub.dispose();
});

test('a server that knows nothing of runs is not asked for them without end', async () => {
  let asked = 0;
  const nothing = async (): Promise<Response> => (asked++, new Response('{}', { status: 404 }));
  const hub = new Hub(new Api({ ...settings, fetch: nothing as typeof fetch }));
  await hub.start();
  await new Promise(resolve => setTimeout(resolve, 100));
  expect(asked).toBeLessThan(20);
  expect(hub.snapshot().online).toBe(false);
  hub.dispose();
});
