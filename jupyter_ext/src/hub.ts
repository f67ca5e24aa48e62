// What this page knows of runs: the list, and the fold of each run that was opened or is being worked on.
import type { AnyEvent, UnknownEvent } from '../../widgets/src/events';
import { FINAL, RunState, emptyRun, reduceAll } from '../../widgets/src/run';
import type { Action } from '../../widgets/src/source';
import { Api, Defaults, Options, Refused, RunRow, Session } from './api';
import { Stream } from './stream';

/** Deltas come by the hundred; people see thirty pictures a second. */
const FRAME = 33;
const MOST_FOLDED = 40;
const MOST_FOLLOWED = 100;
const LOOK_AGAIN = 10_000;

export interface Snapshot {
  runs: readonly RunRow[];
  sessions: ReadonlyMap<string, Session>;
  defaults: Defaults | null;
  selected: string | null;
  loading: boolean;
  online: boolean;
  /** What went wrong, or what there is to say; the newest only. */
  notice: string;
  waiting: number;
  working: number;
}

/** What this page asked for, until the log says what counts. */
const SAID: Record<string, string> = { allow: 'allowed', deny: 'denied', session: 'allowed for the session' };

export class Hub {
  private readonly rows = new Map<string, RunRow>();
  private sessions = new Map<string, Session>();
  private readonly folds = new Map<string, RunState>();
  private readonly loads = new Map<string, Promise<void>>();
  private readonly pending = new Map<string, Array<AnyEvent | UnknownEvent>>();
  private readonly answered = new Map<string, string>();
  private readonly listeners = new Set<() => void>();
  private readonly stream: Stream;
  private readonly timer: number;
  private followed = '';
  private frame = 0;
  private current: Snapshot = {
    runs: [],
    sessions: new Map(),
    defaults: null,
    selected: null,
    loading: true,
    online: true,
    notice: '',
    waiting: 0,
    working: 0
  };

  constructor(readonly api: Api) {
    this.stream = new Stream(api, () => this.positions(), {
      events: events => this.take(events),
      announced: row => this.announced(row),
      connected: () => this.connected(),
      lost: error => this.lost(error)
    });
    this.timer = window.setInterval(() => !document.hidden && void this.refresh(), LOOK_AGAIN);
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  readonly snapshot = (): Snapshot => this.current;

  /** The fold of a run; null until its events are here. */
  fold(id: string | null): RunState | null {
    return id && !this.loads.has(id) ? (this.folds.get(id) ?? null) : null;
  }

  row(id: string | null): RunRow | null {
    return id ? (this.rows.get(id) ?? null) : null;
  }

  async start(): Promise<void> {
    await this.refresh();
    this.current.defaults ?? this.api.defaults().then(defaults => this.set({ defaults }), this.say);
  }

  dispose(): void {
    clearInterval(this.timer);
    clearTimeout(this.frame);
    this.stream.close();
  }

  /** Ask for the list: what other programs started or ended, and what costs nothing to know. */
  async refresh(): Promise<void> {
    try {
      const [runs, sessions] = await Promise.all([this.api.runs(), this.api.sessions()]);
      const known = new Set(runs.map(row => row.id));
      [...this.rows.keys()].filter(id => !known.has(id)).forEach(id => this.rows.delete(id));
      runs.forEach(row => this.rows.set(row.id, row));
      this.sessions = new Map(sessions.map(session => [session.id, session]));
      this.set({ loading: false, sessions: this.sessions, online: true });
      await this.followAll();
    } catch (error) {
      this.lost(error);
    }
  }

  async select(id: string | null): Promise<void> {
    this.set({ selected: id, notice: '' });
    if (id) {
      await this.load(id);
      this.reopenIfChanged();
    }
  }

  /** Bring a run's events here before they are asked for. */
  async load(id: string): Promise<void> {
    if (this.folds.has(id)) {
      this.folds.set(id, this.folds.get(id)!);
      return;
    }
    const running = this.loads.get(id) ?? this.read(id).finally(() => this.loads.delete(id));
    this.loads.set(id, running);
    await running.then(() => this.publish(), this.say);
  }

  readonly act = async (id: string, action: Action): Promise<void> => {
    try {
      if (action.kind === 'approve') {
        this.answered.set(`${id}/${action.id}`, action.decision);
        await this.api.answer(id, action.id, action.decision);
      } else if (action.kind === 'control') {
        await this.api.control(id, action.action);
        void this.refresh();
      } else if (action.kind === 'message') {
        await this.api.say(id, action.text);
      } else {
        this.set({ notice: undone(await this.api.undo(id, action.call_id, action.path)) });
      }
    } catch (error) {
      this.say(error);
    }
  };

  /** Start a run and show it. Raises Refused. */
  async begin(session: string, prompt: string, options: Options): Promise<RunRow> {
    const row = await this.api.start(session, prompt, options);
    this.announced(row);
    await this.select(row.id);
    return row;
  }

  async retry(id: string): Promise<void> {
    const row = await this.api.retry(id);
    this.announced(row);
    await this.select(row.id);
  }

  /** The session of a folder or a notebook; with `fresh`, a new one that knows nothing of the others. */
  async openSession(workspace: string, name: string, fresh: boolean): Promise<Session> {
    const session = await this.api.openSession({ workspace: workspace || '.', name, new: fresh });
    this.sessions = new Map([...this.sessions, [session.id, session]]);
    this.set({ sessions: this.sessions });
    return session;
  }

  async forget(session: string): Promise<void> {
    await this.api.forget(session);
    const gone = [...this.rows.values()].filter(row => row.session_id === session).map(row => row.id);
    gone.forEach(id => {
      this.rows.delete(id);
      this.folds.delete(id);
    });
    if (this.current.selected && gone.includes(this.current.selected)) {
      this.set({ selected: null });
    }
    await this.refresh();
  }

  readonly say = (error: unknown): void => {
    this.set({ notice: error instanceof Refused ? error.sentence : error instanceof Error ? error.message : String(error) });
  };

  private async read(id: string): Promise<void> {
    let fold = emptyRun();
    for await (const page of this.api.events(id, 0)) {
      fold = reduceAll(fold, page);
    }
    this.folds.set(id, fold);
    this.evict();
  }

  /** Old folds give way; they can be read again. */
  private evict(): void {
    for (const [id, fold] of this.folds) {
      if (this.folds.size <= MOST_FOLDED) {
        return;
      }
      if (FINAL.has(fold.status) && id !== this.current.selected) {
        this.folds.delete(id);
      }
    }
  }

  private active(): string[] {
    return [...this.rows.values()].filter(row => !FINAL.has(this.statusOf(row))).map(row => row.id).slice(0, MOST_FOLLOWED);
  }

  private statusOf(row: RunRow): string {
    const fold = this.folds.get(row.id);
    return fold && fold.seq >= row.head ? fold.status : row.status;
  }

  private positions(): ReadonlyMap<string, number> {
    const wanted = new Set([...this.active(), ...(this.current.selected ? [this.current.selected] : [])]);
    return new Map([...wanted].filter(id => this.folds.has(id)).map(id => [id, this.folds.get(id)!.seq]));
  }

  private async followAll(): Promise<void> {
    await Promise.all(this.active().map(id => this.load(id)));
    const behind = [...this.folds].filter(([id, fold]) => (this.rows.get(id)?.head ?? 0) > fold.seq + 200);
    await Promise.all(behind.filter(([id]) => !this.positions().has(id)).map(([id]) => this.catchUp(id)));
    this.reopenIfChanged();
  }

  private reopenIfChanged(): void {
    const followed = [...this.positions().keys()].sort().join();
    if (followed !== this.followed || !this.current.online) {
      this.followed = followed;
      this.stream.reopen();
    }
  }

  private announced(row: RunRow): void {
    if (!this.rows.has(row.id)) {
      this.rows.set(row.id, row);
      if (!this.sessions.has(row.session_id)) {
        void this.refresh();
      } else {
        void this.followAll();
      }
      this.publish();
    }
  }

  private connected(): void {
    if (!this.current.online) {
      this.set({ online: true });
      void this.refresh();
    }
  }

  private lost(error: unknown): void {
    if (error instanceof Refused && error.status === 404) {
      this.followed = '';
      void this.refresh(); // a run was forgotten elsewhere
    } else if (error instanceof Refused && error.status === 400) {
      this.set({ loading: false }); // no run to follow yet
    } else {
      this.set({ online: false, loading: false });
    }
  }

  private take(events: AnyEvent[]): void {
    for (const event of events) {
      const waiting = this.pending.get(event.run_id);
      if (waiting) {
        waiting.push(event);
      } else {
        this.pending.set(event.run_id, [event]);
      }
    }
    this.frame ||= window.setTimeout(() => this.flush(), FRAME);
  }

  private flush(): void {
    this.frame = 0;
    const ended: boolean[] = [];
    for (const [id, events] of this.pending) {
      const before = this.folds.get(id) ?? emptyRun();
      const after = reduceAll(before, events);
      this.folds.set(id, after.gap ? { ...after, gap: false } : after);
      ended.push(FINAL.has(after.status) && !FINAL.has(before.status));
      if (after.gap) {
        void this.catchUp(id);
      }
      this.tell(id, events);
    }
    this.pending.clear();
    this.publish();
    if (ended.includes(true)) {
      void this.refresh();
    }
  }

  /** Of two answers the first counts; whoever gave the other should know. */
  private tell(id: string, events: ReadonlyArray<AnyEvent | UnknownEvent>): void {
    for (const event of events as AnyEvent[]) {
      if (event.type === 'approval_answer') {
        const mine = this.answered.get(`${id}/${event.id}`);
        this.answered.delete(`${id}/${event.id}`);
        if (mine && mine !== event.decision) {
          this.set({ notice: `Somebody else had answered already: ${SAID[event.decision]}. Your answer changes nothing.` });
        }
      }
    }
  }

  private async catchUp(id: string): Promise<void> {
    try {
      for await (const page of this.api.events(id, this.folds.get(id)?.seq ?? 0)) {
        this.folds.set(id, reduceAll(this.folds.get(id) ?? emptyRun(), page));
      }
      this.publish();
    } catch (error) {
      this.lost(error);
    }
  }

  private set(change: Partial<Snapshot>): void {
    this.current = { ...this.current, ...change };
    this.publish();
  }

  private publish(): void {
    const runs = [...this.rows.values()]
      .map(row => withFold(row, this.folds.get(row.id)))
      .sort((a, b) => b.created_ms - a.created_ms);
    const active = runs.filter(row => !FINAL.has(row.status));
    const waiting = active.filter(row => row.status === 'waiting').length;
    const working = active.filter(row => row.status === 'running' || row.status === 'queued').length;
    this.current = { ...this.current, runs, waiting, working };
    this.listeners.forEach(listener => listener());
  }
}

/** What the events say of a run is newer than the list. */
function withFold(row: RunRow, fold: RunState | undefined): RunRow {
  if (!fold || fold.seq < row.head) {
    return row;
  }
  return { ...row, status: fold.status, reason: fold.reason, ended_ms: FINAL.has(fold.status) ? fold.ended : null };
}

function undone({ paths, skipped }: { paths: string[]; skipped: string[] }): string {
  const back = paths.length ? `Put back: ${paths.join(', ')}.` : 'Nothing was put back.';
  return skipped.length ? `${back} Left alone, because you changed it since: ${skipped.join(', ')}.` : back;
}
