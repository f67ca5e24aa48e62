import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { AnyEvent } from './events';
import { emptyRun, reduce, reduceAll, summary } from './run';

const DATA = fileURLToPath(new URL('../../tests/data/', import.meta.url));
const NAMES = readdirSync(DATA).filter(name => name.endsWith('.jsonl')).map(name => name.slice(0, -6));

function recorded(name: string): AnyEvent[] {
  return readFileSync(`${DATA}${name}.jsonl`, 'utf8').trim().split('\n').map(line => JSON.parse(line) as AnyEvent);
}

function delta(id: string, text: string, turn: number, kind = 'text'): AnyEvent {
  return { type: 'delta', run_id: 'r', seq: 0, version: 1, turn, timestamp: 0, kind, id, text, tool: '' } as AnyEvent;
}

describe.each(NAMES)('the recorded run %s', name => {
  const expected = JSON.parse(readFileSync(`${DATA}${name}.summary.json`, 'utf8'));

  it('gives the same summary as in Python', () => {
    expect(summary(reduceAll(emptyRun(), recorded(name)))).toEqual(expected);
  });

  it('gives the same whether its events come one by one or at once, and however often', () => {
    const events = recorded(name);
    const oneByOne = events.reduce(reduce, emptyRun());
    expect(summary(reduceAll(oneByOne, events))).toEqual(expected);
  });
});

describe('reduce', () => {
  const events = recorded('analysis');

  it('says that something is missing, and takes nothing from behind the gap', () => {
    const run = reduceAll(emptyRun(), [events[0]!, events[2]!]);
    expect([run.seq, run.gap]).toEqual([1, true]);
    expect(reduceAll(run, events.slice(1)).gap).toBe(false);
  });

  it('leaves the state it was given as it was', () => {
    const before = reduceAll(emptyRun(), events.slice(0, 8));
    const copy = structuredClone({ ...before, places: [...before.places], files: [...before.files] });
    reduceAll(before, events.slice(8));
    expect({ ...before, places: [...before.places], files: [...before.files] }).toEqual(copy);
  });

  it('gives back the same state when nothing is new', () => {
    const run = reduceAll(emptyRun(), events);
    expect(reduceAll(run, events)).toBe(run);
  });

  it('joins deltas, and lets the stored blocks of their turn replace them', () => {
    const started = reduceAll(emptyRun(), events.slice(0, 4));
    const writing = reduceAll(started, [delta('0', 'Hel', 1), delta('0', 'lo', 1), delta('1', 'x', 1, 'thinking')]);
    expect(writing.entries.filter(entry => entry.kind === 'live').map(entry => entry.text)).toEqual(['Hello', 'x']);
    const stored = reduceAll(writing, events.slice(4));
    expect(stored.entries.some(entry => entry.kind === 'live')).toBe(false);
    expect(reduce(stored, delta('0', 'late', 1)).entries.some(entry => entry.kind === 'live')).toBe(false);
  });

  it('throws away what a broken stream had written', () => {
    const run = reduceAll(emptyRun(), [...recorded('changes').slice(0, 3), delta('0', 'half', 1)]);
    expect(reduce(run, recorded('changes')[3]!).entries.some(entry => entry.kind === 'live')).toBe(false);
  });

  it('collects live output of a call until its result comes', () => {
    const upToStart = reduceAll(emptyRun(), recorded('cancelled').slice(0, 8));
    const run = reduceAll(upToStart, [delta('a', 'one\n', 1, 'output'), delta('a', 'two\n', 1, 'output')]);
    expect(run.entries.find(entry => entry.kind === 'call')).toMatchObject({ output: 'one\ntwo\n', state: 'running' });
  });

  it('knows who has the desktop, and tells it', () => {
    const hand = (to: 'person' | 'agent', seq: number) => ({ ...events[0]!, type: 'handover', to, by: 'ann', seq }) as AnyEvent;
    const last = reduceAll(emptyRun(), events);
    const taken = reduce(last, hand('person', last.seq + 1));
    expect([last.personActs, taken.personActs]).toEqual([false, true]);
    expect(taken.entries.at(-1)).toMatchObject({ kind: 'note', text: 'A person took over the desktop.' });
    expect(reduce(taken, hand('agent', last.seq + 2)).personActs).toBe(false);
  });

  it('knows which call a person is asked about, until it is answered', () => {
    const at = events.findIndex(event => event.type === 'tool_call');
    const called = reduceAll(emptyRun(), events.slice(0, at + 1));
    const { id } = events[at] as { id: string };
    const word = (rest: object, seq: number) => ({ ...events[at]!, id, seq: called.seq + seq, ...rest }) as AnyEvent;
    const asked = reduce(called, word({ type: 'approval_request', tool: 'bash', what: 'ls', reason: '', scope: '' }, 1));
    const answered = reduce(asked, word({ type: 'approval_answer', decision: 'allow', by: 'ann', reason: '' }, 2));
    const states = [called, asked, answered].map(run => run.entries.find(entry => entry.kind === 'call')!.asked);
    expect(states).toEqual([false, true, false]);
  });

  it('knows what was asked of the run before its step has ended', () => {
    const last = reduceAll(emptyRun(), events.slice(0, 8));
    const asked = (action: string, seq: number) => ({ ...events[0]!, type: 'control', action, by: 'ann', seq: last.seq + seq }) as AnyEvent;
    expect(reduce(last, asked('pause', 1))).toMatchObject({ control: 'pause', status: last.status });
    expect(reduceAll(last, [asked('pause', 1), asked('resume', 2)]).control).toBe('resume');
  });

  it('takes what becomes known of a server as the same one, and one that comes again as another', () => {
    const last = reduceAll(emptyRun(), events);
    const word = (seq: number, port: number, title: string, live = true) => ({ ...events[0]!, type: 'browser_update', seq: last.seq + seq, port, title, live, url: '', kind: 'page' }) as AnyEvent;
    const named = reduceAll(last, [word(1, 1, ''), word(2, 2, ''), word(3, 1, 'Shop')]);
    expect(named.served.map(({ port, title, since }) => [port, title, since - last.seq])).toEqual([[1, 'Shop', 1], [2, '', 2]]);
    const again = reduceAll(named, [word(4, 1, 'Shop', false), word(5, 1, 'Shop')]);
    expect(again.served.map(({ port, since }) => [port, since - last.seq])).toEqual([[2, 2], [1, 5]]);
  });
});
