import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { ServerConnection } from '@jupyterlab/services';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { Api, type RunRow } from './api';
import { Hub } from './hub';

const IDS = Array.from({ length: 60 }, (_, number) => `r${number}`);
const row = (id: string) => ({ id, session_id: 's', prompt: id, status: 'completed', reason: '', head: 2, created_ms: 1, ended_ms: 2, used: {}, options: {} });
const turn = (id: string) => ({ type: 'context_update', run_id: id, seq: 1, version: 1, turn: 1, timestamp: 1, model: 'demo', input_tokens: 1, output_tokens: 1, cache_read_tokens: 0, cache_write_tokens: 0, cost_usd: 0, context_tokens: 1, context_window: 10 });
const ended = (id: string) => ({ type: 'status', run_id: id, seq: 2, version: 1, turn: 1, timestamp: 2, status: 'completed', reason: '' });

/** What a server says of sixty runs that have ended. */
function answer(path: string): unknown {
  const run = /runs\/(\w+)\/events/.exec(path)?.[1];
  if (run) {
    return { events: path.includes('after=0') ? [turn(run), ended(run)] : [], head: 2 };
  }
  return path.includes('/runs?') ? { runs: IDS.map(row) } : { sessions: [], days: [] };
}

let listed: Promise<void> = Promise.resolve();

const fetched = async (request: Request): Promise<Response> => {
  const body = JSON.stringify(answer(request.url));
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
