// When a run did what: the same fold as agent_kernel/trace.py.
import type { AnyEvent, ContextUpdateEvent, UnknownEvent } from './events';

export type Kind = 'run' | 'chat' | 'tool' | 'approval' | 'compaction';

/** Something that took time. Milliseconds since 1970; `end` is 0 while it goes on. */
export interface Span {
  kind: Kind;
  id: string;
  name: string;
  turn: number;
  start: number;
  end: number;
  state: 'open' | 'ok' | 'error';
  reason: string;
  attempts: number;
  usage: ContextUpdateEvent | null;
}

/** The spans of a run in the order they began, and where those stand that go on. */
export interface Trace {
  spans: readonly Span[];
  open: ReadonlyMap<string, number>;
}

type Stamped = { turn: number; timestamp: number };
type StatusEvent = Extract<AnyEvent, { type: 'status' }>;

const FINAL = new Set(['completed', 'failed', 'cancelled']);
const BOUNDS = new Set(['budget', 'max_turns']);
const TRACED = new Set(['status', 'error', 'context_update', 'tool_call', 'tool_start', 'tool_result', 'approval_request', 'approval_answer', 'compaction']);

export const NO_TRACE: Trace = { spans: [], open: new Map() };

/** A trace that events are added to; what it began with stays as it was, and is copied at most once. */
export class Tracing {
  private spans: Span[] | null = null;
  private open = new Map<string, number>();

  constructor(private readonly before: Trace) {}

  done(): Trace {
    return this.spans ? { spans: this.spans, open: this.open } : this.before;
  }

  add(unknown: AnyEvent | UnknownEvent): void {
    if (!TRACED.has(unknown.type)) {
      return;
    }
    if (!this.spans) {
      this.spans = this.before.spans.slice();
      this.open = new Map(this.before.open);
    }
    const event = unknown as AnyEvent;
    switch (event.type) {
      case 'status':
        return this.status(event);
      case 'error':
        return event.retrying ? this.retried(event.kind) : undefined;
      case 'context_update':
        return this.end(event, 'chat', String(event.turn), { usage: event });
      case 'tool_call':
        return this.begin('tool', event.id, event.tool, event);
      case 'tool_start':
        return this.change('tool', event.id, { start: event.timestamp });
      case 'tool_result':
        return this.end(event, 'tool', event.id, { state: event.is_error ? 'error' : 'ok' });
      case 'approval_request':
        return this.begin('approval', event.id, event.tool, event);
      case 'approval_answer':
        return this.end(event, 'approval', event.id, { reason: event.decision });
      case 'compaction':
        return this.end(event, 'compaction', '', {});
    }
  }

  private status(event: StatusEvent): void {
    if (FINAL.has(event.status) || (event.status === 'paused' && BOUNDS.has(event.reason))) {
      for (const at of [...this.open.values()]) {
        const { kind, id } = this.spans![at]!;
        const state = kind !== 'run' || event.status === 'failed' ? 'error' : 'ok';
        this.end(event, kind, id, { state, reason: event.reason || event.status });
      }
      return;
    }
    if (event.status !== 'queued' && !this.has('run')) {
      this.begin('run', String(event.seq), '', event);
    }
    if (event.reason === 'thinking' && !this.has('chat')) {
      this.begin('chat', String(event.turn), '', event);
    }
    if (event.reason === 'compacting') {
      this.begin('compaction', '', '', event);
    }
  }

  private has(kind: Kind): boolean {
    return [...this.open.values()].some(at => this.spans![at]!.kind === kind);
  }

  private retried(reason: string): void {
    for (const at of this.open.values()) {
      const span = this.spans![at]!;
      if (span.kind === 'chat') {
        this.spans![at] = { ...span, attempts: span.attempts + 1, reason };
      }
    }
  }

  private begin(kind: Kind, id: string, name: string, event: Stamped): void {
    this.open.set(`${kind} ${id}`, this.spans!.length);
    this.spans!.push({ kind, id, name, turn: event.turn, start: event.timestamp, end: 0, state: 'open', reason: '', attempts: 1, usage: null });
  }

  private change(kind: Kind, id: string, change: Partial<Span>): void {
    const at = this.open.get(`${kind} ${id}`);
    if (at !== undefined) {
      this.spans![at] = { ...this.spans![at]!, ...change };
    }
  }

  private end(event: Stamped, kind: Kind, id: string, change: Partial<Span>): void {
    const at = this.open.get(`${kind} ${id}`);
    if (at !== undefined) {
      this.change(kind, id, { state: 'ok', ...change, end: Math.max(event.timestamp, this.spans![at]!.start) });
      this.open.delete(`${kind} ${id}`);
    }
  }
}

/** A duration as people read it. */
export function took(ms: number): string {
  if (ms < 1_000) {
    return `${Math.round(ms)} ms`;
  }
  const seconds = ms / 1_000;
  if (seconds < 60) {
    return `${Number(seconds.toFixed(seconds < 10 ? 1 : 0))} s`;
  }
  return seconds < 3_600 ? `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s` : `${Math.floor(seconds / 3_600)} h ${Math.round((seconds % 3_600) / 60)} min`;
}

/** A round number of milliseconds that divides a span into at most `most` parts. */
export function tick(ms: number, most = 4): number {
  const least = ms / most;
  const unit = 10 ** Math.floor(Math.log10(Math.max(1, least)));
  return [1, 2, 5, 10].map(times => times * unit).find(step => step >= least) ?? 10 * unit;
}
