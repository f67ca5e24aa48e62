// A run is a fold of its events: the same fold as agent_kernel/folds.py.
import {
  AnyEvent,
  ApprovalAnswerEvent,
  ApprovalRequestEvent,
  BrowserUpdateEvent,
  CompactionEvent,
  ContextUpdateEvent,
  ErrorEvent,
  FileChangeEvent,
  KNOWN_TYPES,
  MessageEvent as SaidEvent,
  ThoughtEvent,
  TodoItem,
  ToolCallEvent,
  ToolResultEvent,
  UnknownEvent
} from './events';
import { NO_TRACE, Trace, Tracing } from './trace';

export type CallState = 'pending' | 'running' | 'done' | 'error' | 'denied';

/** One tool call and all that happened to it. `output` is what it has written so far. */
export interface Call {
  kind: 'call';
  key: string;
  event: ToolCallEvent;
  started: number;
  output: string;
  result: ToolResultEvent | null;
  changes: FileChangeEvent[];
  state: CallState;
  /** A person is being asked about it. */
  asked: boolean;
}

export interface Live {
  kind: 'live';
  key: string;
  of: 'text' | 'thinking' | 'input';
  text: string;
  tool: string;
}

export interface Approval {
  kind: 'approval';
  key: string;
  request: ApprovalRequestEvent;
  answer: ApprovalAnswerEvent | null;
}

export type Entry =
  | Call
  | Live
  | Approval
  | { kind: 'message'; key: string; event: SaidEvent }
  | { kind: 'thought'; key: string; event: ThoughtEvent }
  | { kind: 'error'; key: string; event: ErrorEvent }
  | { kind: 'note'; key: string; text: string }
  | { kind: 'unknown'; key: string; event: UnknownEvent };

export interface ChangedFile {
  path: string;
  action: 'create' | 'edit' | 'delete';
  added: number;
  removed: number;
}

/** The last word of a port; `since`: the event with which its server began to answer. */
export type Served = BrowserUpdateEvent & { since: number };

export interface Usage {
  input_tokens: number;
  output_tokens: number;
  cache_read_tokens: number;
  cache_write_tokens: number;
  cost_usd: number | null;
}

export interface RunState {
  seq: number;
  gap: boolean;
  status: string;
  reason: string;
  model: string;
  demo: boolean;
  started: number;
  ended: number;
  entries: Entry[];
  /** Where calls and approvals stand in `entries`. */
  places: ReadonlyMap<string, number>;
  files: ReadonlyMap<string, ChangedFile>;
  todo: TodoItem[];
  usage: Usage;
  contextShare: number;
  /** Usage turn by turn. */
  turns: readonly ContextUpdateEvent[];
  /** The history before this is a summary, or nothing, for the model; null again once a turn was counted. */
  shortened: CompactionEvent | null;
  /** Every change of a file, in order; `files` is their sum. */
  changes: readonly FileChangeEvent[];
  tier: string;
  /** Each port that was ever served, in the order of their last start. */
  served: readonly Served[];
  /** A person has the desktop's mouse and keyboard, and the agent waits. */
  personActs: boolean;
  /** What a person asked of the run last: a step that is under way still ends. */
  control: '' | 'pause' | 'resume' | 'cancel';
  undone: string[];
  /** The last turn whose blocks are stored; deltas of earlier turns come too late. */
  turn: number;
  /** When what went on, for the waterfall. */
  trace: Trace;
}

export const FINAL = new Set(['completed', 'failed', 'cancelled']);

export function emptyRun(): RunState {
  return {
    seq: 0,
    gap: false,
    status: 'queued',
    reason: '',
    model: '',
    demo: false,
    started: 0,
    ended: 0,
    entries: [],
    places: new Map(),
    files: new Map(),
    todo: [],
    usage: { input_tokens: 0, output_tokens: 0, cache_read_tokens: 0, cache_write_tokens: 0, cost_usd: 0 },
    contextShare: 0,
    turns: [],
    shortened: null,
    changes: [],
    tier: '',
    served: [],
    personActs: false,
    control: '',
    undone: [],
    turn: 0,
    trace: NO_TRACE
  };
}

export function reduce(run: RunState, event: AnyEvent | UnknownEvent): RunState {
  return reduceAll(run, [event]);
}

/** Many events at once: the state is copied once, not once an event. */
export function reduceAll(run: RunState, events: ReadonlyArray<AnyEvent | UnknownEvent>): RunState {
  const next = new Draft(run);
  for (const event of events) {
    next.take(event);
  }
  return next.done();
}

class Draft {
  private readonly run: RunState;
  private places: Map<string, number>;
  private files: Map<string, ChangedFile>;
  private changed = false;
  private turns: ContextUpdateEvent[] | null = null;
  private changes: FileChangeEvent[] | null = null;
  /** How many entries are still being written. */
  private writing: number;
  private readonly tracing: Tracing;

  constructor(before: RunState) {
    this.run = { ...before, entries: before.entries.slice(), usage: { ...before.usage } };
    this.places = new Map(before.places);
    this.files = new Map(before.files);
    this.before = before;
    this.writing = before.entries.reduce((sum, entry) => sum + Number(entry.kind === 'live'), 0);
    this.tracing = new Tracing(before.trace);
  }

  private readonly before: RunState;

  done(): RunState {
    if (!this.changed) {
      return this.before;
    }
    return { ...this.run, places: this.places, files: this.files, trace: this.tracing.done() };
  }

  take(event: AnyEvent | UnknownEvent): void {
    if (event.seq > 0) {
      if (event.seq <= this.run.seq) {
        return;
      }
      if (event.seq > this.run.seq + 1) {
        this.run.gap = true;
        this.changed = true;
        return;
      }
      this.run.gap = false;
      this.run.seq = event.seq;
      this.run.started ||= event.timestamp;
      this.run.ended = event.timestamp;
    }
    this.changed = true;
    this.tracing.add(event);
    if (KNOWN_TYPES.has(event.type)) {
      this.known(event as AnyEvent);
    } else {
      this.add({ kind: 'unknown', key: `e${event.seq}`, event: event as UnknownEvent });
    }
  }

  private known(event: AnyEvent): void {
    const run = this.run;
    const key = `e${event.seq}`;
    switch (event.type) {
      case 'status':
        run.status = event.status;
        run.reason = event.reason;
        if (FINAL.has(event.status)) {
          this.dropLive();
        }
        return;
      case 'context':
        run.model = event.model;
        run.demo = event.demo;
        run.tier = event.tier;
        return;
      case 'thought':
        return this.add({ kind: 'thought', key, event });
      case 'message':
        this.dropLive(event.role === 'assistant');
        return this.add({ kind: 'message', key, event });
      case 'tool_call':
        this.places.set(event.id, run.entries.length);
        return this.add({
          kind: 'call',
          key: `c${event.id}`,
          event,
          started: 0,
          output: '',
          result: null,
          changes: [],
          state: 'pending',
          asked: false
        });
      case 'tool_start':
        return this.change(event.id, call => ({ ...call, started: event.timestamp, state: 'running' }));
      case 'tool_result':
        return this.change(event.id, call => ({ ...call, result: event, state: this.stateOf(event) }));
      case 'approval_request':
        this.places.set(`?${event.id}`, run.entries.length);
        this.change(event.id, call => ({ ...call, asked: true }));
        return this.add({ kind: 'approval', key: `a${event.id}`, request: event, answer: null });
      case 'approval_answer':
        return this.answered(event);
      case 'file_change':
        return this.fileChanged(event);
      case 'context_update':
        run.turn = Math.max(run.turn, event.turn);
        this.dropLive();
        run.usage.input_tokens += event.input_tokens;
        run.usage.output_tokens += event.output_tokens;
        run.usage.cache_read_tokens += event.cache_read_tokens;
        run.usage.cache_write_tokens += event.cache_write_tokens;
        run.usage.cost_usd =
          event.cost_usd === null || run.usage.cost_usd === null ? null : run.usage.cost_usd + event.cost_usd;
        this.turns ??= run.turns.slice();
        this.turns.push(event);
        run.turns = this.turns;
        run.shortened = null;
        run.contextShare = event.context_window ? event.context_tokens / event.context_window : 0;
        return;
      case 'todo':
        run.todo = event.items;
        return;
      case 'browser_update':
        run.served = served(run.served, event);
        return;
      case 'handover':
        run.personActs = event.to === 'person';
        return this.add({ kind: 'note', key, text: event.to === 'person' ? 'A person took over the desktop.' : 'The desktop was handed back to the agent.' });
      case 'undo':
        run.undone = [...run.undone, ...event.paths];
        event.paths.forEach(path => this.files.delete(path));
        return this.add({ kind: 'note', key, text: undone(event.paths, event.skipped) });
      case 'compaction':
        run.shortened = event;
        return this.add({ kind: 'note', key, text: event.summary ? SUMMARISED : CLEARED });
      case 'error':
        this.dropLive();
        return this.add({ kind: 'error', key, event });
      case 'delta':
        return event.kind === 'output' ? this.output(event.id, event.text) : this.live(event);
      case 'control':
        run.control = event.action;
        return;
      case 'code_generation':
        return;
    }
  }

  private add(entry: Entry): void {
    this.run.entries.push(entry);
  }

  private change(id: string, change: (call: Call) => Call): void {
    const place = this.places.get(id);
    const entry = place === undefined ? undefined : this.run.entries[place];
    if (place !== undefined && entry?.kind === 'call') {
      this.run.entries[place] = change(entry);
    }
  }

  private output(id: string, text: string): void {
    this.change(id, call => (call.result ? call : { ...call, output: (call.output + text).slice(-MOST_LIVE) }));
  }

  private stateOf(result: ToolResultEvent): CallState {
    const place = this.places.get(`?${result.id}`);
    const asked = place === undefined ? undefined : this.run.entries[place];
    if (asked?.kind === 'approval' && asked.answer?.decision === 'deny') {
      return 'denied';
    }
    return result.is_error ? 'error' : 'done';
  }

  private answered(event: ApprovalAnswerEvent): void {
    const place = this.places.get(`?${event.id}`);
    const entry = place === undefined ? undefined : this.run.entries[place];
    if (place !== undefined && entry?.kind === 'approval') {
      this.run.entries[place] = { ...entry, answer: event };
      this.change(event.id, call => ({ ...call, asked: false }));
    }
  }

  private fileChanged(event: FileChangeEvent): void {
    const merged = mergeChange(this.files.get(event.path), event);
    if (merged) {
      this.files.set(event.path, merged);
    } else {
      this.files.delete(event.path);
    }
    this.changes ??= this.run.changes.slice();
    this.changes.push(event);
    this.run.changes = this.changes;
    if (event.call_id) {
      this.change(event.call_id, call => ({ ...call, changes: [...call.changes, event] }));
    }
  }

  private live(event: { id: string; turn: number; kind: 'text' | 'thinking' | 'input' | 'output'; text: string; tool: string }): void {
    if (event.turn <= this.run.turn || event.kind === 'output') {
      return;
    }
    const key = `d${event.turn}.${event.id}`;
    const place = this.places.get(key);
    const entry = place === undefined ? undefined : this.run.entries[place];
    if (place !== undefined && entry?.kind === 'live') {
      this.run.entries[place] = { ...entry, text: entry.text + event.text, tool: entry.tool || event.tool };
      return;
    }
    this.places.set(key, this.run.entries.length);
    this.writing += 1;
    this.add({ kind: 'live', key, of: event.kind, text: event.text, tool: event.tool });
  }

  /** What was being written is stored now, or will be written again. */
  private dropLive(only = true): void {
    if (!only || !this.writing) {
      return;
    }
    this.writing = 0;
    this.run.entries = this.run.entries.filter(entry => entry.kind !== 'live');
    this.places = new Map();
    this.run.entries.forEach((entry, place) => {
      if (entry.kind === 'call') {
        this.places.set(entry.event.id, place);
      } else if (entry.kind === 'approval') {
        this.places.set(`?${entry.request.id}`, place);
      }
    });
  }
}

/** What is said of a server that answers already (its title, say) neither moves it nor begins it anew. */
function served(before: readonly Served[], event: BrowserUpdateEvent): readonly Served[] {
  const known = before.find(one => one.port === event.port);
  return event.live && !known?.live
    ? [...before.filter(one => one !== known), { ...event, since: event.seq }]
    : before.map(one => (one === known ? { ...event, since: one.since } : one));
}

const MOST_LIVE = 100_000;
const SUMMARISED = 'The history so far was summarised for the model.';
const CLEARED = 'The history so far was cleared: the model knows nothing of it.';

function undone(paths: string[], skipped: string[]): string {
  const left = skipped.length ? ` Left alone, because they were changed since: ${skipped.join(', ')}.` : '';
  return `Put back: ${paths.join(', ') || 'nothing'}.${left}`;
}

function mergeChange(earlier: ChangedFile | undefined, change: FileChangeEvent): ChangedFile | null {
  const { path, added, removed } = change;
  if (!earlier) {
    return { path, action: change.action, added, removed };
  }
  if (earlier.action === 'create' && change.action === 'delete') {
    return null;
  }
  let action = earlier.action === 'create' ? ('create' as const) : change.action;
  if (earlier.action === 'delete' && change.action === 'create') {
    action = 'edit';
  }
  return { path, action, added: earlier.added + added, removed: earlier.removed + removed };
}

/** The run as plain JSON; see tests/data/README.md. */
export function summary(run: RunState): Record<string, unknown> {
  const of = <K extends Entry['kind']>(kind: K) =>
    run.entries.filter((entry): entry is Extract<Entry, { kind: K }> => entry.kind === kind);
  return {
    status: run.status,
    reason: run.reason,
    model: run.model,
    demo: run.demo,
    messages: of('message').map(({ event }) => ({ role: event.role, text: event.text })),
    tools: of('call').map(call => ({
      id: call.event.id,
      tool: call.event.tool,
      state: call.state,
      duration_ms: call.result?.duration_ms ?? 0,
      is_error: call.result?.is_error ?? false
    })),
    thoughts: of('thought').length,
    files: [...run.files.values()].sort((a, b) => (a.path < b.path ? -1 : 1)),
    todo: run.todo,
    usage: run.usage,
    approvals: of('approval').map(({ request, answer }) => ({ id: request.id, decision: answer?.decision ?? null })),
    errors: of('error').map(({ event }) => ({ kind: event.kind, message: event.message, retrying: event.retrying })),
    undone: run.undone
  };
}
