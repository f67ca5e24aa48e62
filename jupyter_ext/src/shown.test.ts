import { describe, expect, it } from 'vitest';
import type { RunRow, Session } from './api';
import { ago, duration, grouped, titleOf } from './shown';

function session(id: string, rest: Partial<Session> = {}): [string, Session] {
  return [id, { id, name: 'main', title: '', workspace: '/home/me/work', notebook: null, updated_ms: 0, ...rest }];
}

function run(id: string, session_id: string, rest: Partial<RunRow> = {}): RunRow {
  return { id, session_id, parent_id: null, prompt: `Prompt ${id}`, model: 'm', status: 'completed', reason: '', options: {}, created_ms: 0, started_ms: 0, ended_ms: 0, head: 1, used: null, ...rest };
}

const SESSIONS = new Map([session('s', { notebook: '/home/me/work/sales.ipynb' }), session('t', { name: 'Prompt c-0a1b2c' }), session('u', { name: 'Prompt d-0a1b2d' })]);
const RUNS = [run('a', 's'), run('b', 's', { status: 'waiting' }), run('c', 't', { status: 'failed' }), run('d', 'u')];

describe('the list of runs', () => {
  it('is grouped by conversation; single questions share the heading of their folder', () => {
    expect(grouped(RUNS, SESSIONS, '', 'all').map(group => [group.title, group.runs.map(row => row.id)])).toEqual([
      ['sales.ipynb', ['a', 'b']],
      ['work', ['c', 'd']]
    ]);
  });

  it('is searched for all words, in prompts and in what conversations are called', () => {
    expect(grouped(RUNS, SESSIONS, 'SALES prompt', 'all').flatMap(group => group.runs.map(row => row.id))).toEqual(['a', 'b']);
    expect(grouped(RUNS, SESSIONS, 'sales nothing', 'all')).toEqual([]);
  });

  it('is filtered by state', () => {
    const ids = (filter: 'working' | 'waiting' | 'failed') => grouped(RUNS, SESSIONS, '', filter).flatMap(group => group.runs.map(row => row.id));
    expect([ids('working'), ids('waiting'), ids('failed')]).toEqual([['b'], ['b'], ['c']]);
  });

  it('names a conversation whose session is not known yet', () => {
    expect(titleOf(undefined).title).toBe('A conversation');
  });
});

describe('times', () => {
  it('are said in words', () => {
    const now = Date.UTC(2026, 4, 10);
    const before = (seconds: number) => ago(now - seconds * 1000, now);
    expect([before(5), before(600), before(7_200)]).toEqual(['just now', '10 min ago', '2 h ago']);
    expect(before(86_400 * 3)).toMatch(/May/);
  });

  it('of a run are those from its start to its end, or to now', () => {
    expect(duration(run('a', 's', { started_ms: 1_000, ended_ms: 66_000 }), 0)).toBe('1 min 5 s');
    expect(duration(run('a', 's', { started_ms: 1_000, ended_ms: null, status: 'running' }), 11_000)).toBe('10 s');
    expect(duration(run('a', 's', { started_ms: null }), 0)).toBe('');
  });
});
