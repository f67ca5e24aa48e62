// What this page knows of runs: the list, and the fold of each run that was opened or is being worked on.
import type { AnyEvent, UnknownEvent } from '../../widgets/src/events';
import { FINAL, RunState, emptyRun, reduceAll } from '../../widgets/src/run';
import type { Action, ModelKnown } from '../../widgets/src/source';
import { Api, Defaults, Options, PAGE, Question, Refused, RunRow, Session } from './api';
import { spent, undone } from './shown';
import { Stream } from './stream';

/** Deltas come by the hundred; people see thirty pictures a second. */
const FRAME = 33;
/** Whoever walks through runs does not open a stream for each, nor ask for the list anew. */
const SOON = 300;
const MOST_FOLDED = 40;
const MOST_FOLLOWED = 100;

export interface Snapshot {
  runs: readonly RunRow[];
  sessions: ReadonlyMap<string, Session>;
  defaults: Defaults | null;
  model: ModelKnown | null;
  selected: string | null;
  /** The selected run is shown step by step. */
  replaying: boolean;
  loading: boolean;
  /** All runs there are stand in the list. */
  whole: boolean;
  online: boolean;
  /** What went wrong, or what there is to say; the newest only. */
  notice: string;
  /** What all runs used today, in words. */
  today: string;
  waiting: number;
  working: number;
}

export interface Answerer {
  asked(question: Question): void;
  /** Tell the server what is open: it may be a new one. */
  announce(): void;
}

export class Hub {
  private readonly rows = new Map<string, RunRow>();
  private sessions = new Map<string, Session>();
  private readonly folds = new Map<string, RunState>();
  private readonly loads = new Map<string, Promise<void>>();
  private readonly merged = new Map<string, { row: RunRow; turns: unknown; status: string; shown: RunRow }>();
  private readonly pending = new Map<string, Array<AnyEvent | UnknownEvent>>();
  private readonly listeners = new Set<() => void>();
  private readonly stream: Stream;
  /** Who answers for the notebooks that are open in this page. */
  notebooks: Answerer | null = null;
  private followed = 'nothing yet';
  private frame = 0;
  private asking = 0;
  private following = 0;
  /** How often the list was asked for. */
  private listing = 0;
  private readonly retrying = new Set<string>();
  private current: Snapshot = {
    runs: [],
    sessions: new Map(),
    defaults: null,
    model: null,
    selected: null,
    replaying: false,
    loading: true,
    whole: true,
    online: true,
    notice: '',
    today: '',
    waiting: 0,
    working: 0
  };

  constructor(readonly api: Api) {
    this.stream = new Stream(api, () => this.positions(), {
      events: events => this.take(events),
      announced: row => this.announced(row),
      asked: question => this.notebooks?.asked(question),
      ready: () => this.ready(),
      lost: error => this.lost(error)
    });
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
    this.reopenIfChanged(); // where the server is away, the stream is what tries again
  }

  readonly setModel = (model: ModelKnown): void => {
    const { defaults } = this.current;
    this.set({ model, defaults: defaults && { ...defaults, model: model.model, ready: model.by !== '' } });
  };

  dispose(): void {
    clearTimeout(this.frame);
    clearTimeout(this.asking);
    clearTimeout(this.following);
    this.stream.close();
  }

  /** Ask for the list; from then on the stream says what is new in it. */
  async refresh(): Promise<void> {
    const turn = ++this.listing;
    try {
      const before = new Set(this.rows.keys()); // a run begun while the answer is on its way is not in it
      const [runs, sessions, used] = await Promise.all([this.api.runs(), this.api.sessions(), this.api.usedOn(1)]);
      if (turn !== this.listing) {
        return; // asked for before the newest: what was forgotten since may stand in it
      }
      const known = new Set(runs.map(row => row.id));
      const oldest = runs.length < PAGE ? 0 : runs[runs.length - 1]!.created_ms; // of those before it the list says nothing
      [...this.rows.values()].filter(row => before.has(row.id) && !known.has(row.id) && row.created_ms >= oldest).forEach(row => this.drop(row.id));
      runs.forEach(row => this.keep(row));
      this.sessions = new Map(sessions.map(session => [session.id, session]));
      this.set({ today: spent(used), loading: false, sessions: this.sessions, online: true, whole: runs.length < PAGE });
      await this.followAll();
      if (!this.current.defaults) {
        const [defaults, model] = await Promise.all([this.api.defaults(), this.api.model.get()]);
        this.set({ defaults, model });
      }
    } catch (error) {
      this.lost(error);
    }
  }

  async select(id: string | null): Promise<void> {
    this.set({ selected: id, replaying: false, notice: '' });
    if (id) {
      await this.load(id);
      clearTimeout(this.following); // what is being worked on is followed already
      this.following = window.setTimeout(() => this.reopenIfChanged(), SOON);
    }
  }

  /** Runs that were started before those in the list. */
  async older(): Promise<void> {
    const last = this.current.runs[this.current.runs.length - 1];
    const runs = last ? await this.api.runs(last.created_ms).catch(error => (this.say(error), [])) : [];
    runs.forEach(row => this.rows.set(row.id, row));
    this.set({ whole: runs.length < PAGE });
  }

  /** Bring a run's events here before they are asked for. */
  async load(id: string): Promise<void> {
    if (this.folds.has(id)) {
      return;
    }
    const running = this.loads.get(id) ?? this.read(id).finally(() => this.loads.delete(id));
    this.loads.set(id, running);
    await running.then(() => this.publish(), this.say);
  }

  /** Have a run that is being worked on here, live, whether or not the list has it. */
  async follow(row: RunRow): Promise<void> {
    if (!this.rows.has(row.id)) {
      this.keep(row);
    }
    await this.load(row.id);
    this.reopenIfChanged();
  }

  readonly act = async (id: string, action: Action): Promise<void> => {
    try {
      if (action.kind === 'approve') {
        await this.api.answer(id, action.id, action.decision);
      } else if (action.kind === 'control') {
        await this.api.control(id, action.action);
      } else if (action.kind === 'message') {
        await this.api.say(id, action.text);
      } else if (action.kind === 'shorten') {
        this.set({ notice: action.clear ? '' : 'The model writes a summary …' });
        await this.api.shorten(this.rows.get(id)!.session_id, action.clear);
        this.set({ notice: action.clear ? 'Cleared. What you ask next begins with an empty window.' : 'Compacted. What you ask next goes on from a summary.' });
      } else if (action.kind === 'undo') {
        this.set({ notice: undone(await this.api.undo(id, action.call_id, action.path)) });
      }
    } catch (error) {
      this.say(error);
    }
  };

  /** Start a run and show it. Raises Refused. */
  async begin(session: string, prompt: string, options: Options, beside: string | null): Promise<RunRow> {
    const row = await this.api.start(session, prompt, options, beside);
    this.announced(row);
    await this.select(row.id);
    return row;
  }

  /** Show a run step by step; with null, as it is again. Raises Refused for one that is not this person's. */
  async replay(id: string | null): Promise<void> {
    const { selected } = this.current;
    if (id && !this.rows.has(id)) {
      this.keep(await this.api.run(id));
      if (this.current.selected !== selected) {
        return; // something else was chosen meanwhile
      }
    }
    const selecting = id && id !== selected ? this.select(id) : null;
    this.set({ replaying: id !== null });
    await selecting;
  }

  async fork(id: string, seq: number, prompt: string, restore: boolean): Promise<void> {
    const row = await this.api.fork(id, seq, prompt, restore);
    this.announced(row);
    await this.select(row.id);
  }

  /** Asked for twice in a moment, it is done once. */
  async retry(id: string): Promise<void> {
    if (this.retrying.has(id)) {
      return;
    }
    this.retrying.add(id);
    const row = await this.api.retry(id).finally(() => this.retrying.delete(id));
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

  async forget(session: string, force = false): Promise<void> {
    await this.api.forget(session, force);
    const gone = [...this.rows.values()].filter(row => row.session_id === session).map(row => row.id);
    gone.forEach(id => this.drop(id));
    await this.refresh();
  }

  readonly dismiss = (): void => this.set({ notice: '' });

  readonly say = (error: unknown): void => {
    this.set({ notice: error instanceof Refused ? error.sentence : error instanceof Error ? error.message : String(error) });
  };

  /** What is drawn of a row is drawn again only when something of it is new. */
  private keep(row: RunRow): void {
    const known = this.rows.get(row.id);
    if (!known || JSON.stringify(known) !== JSON.stringify(row)) {
      this.rows.set(row.id, row);
    }
  }

  private drop(id: string): void {
    this.rows.delete(id);
    this.unfold(id);
    if (this.current.selected === id) {
      this.set({ selected: null });
    }
  }

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
        this.unfold(id);
      }
    }
  }

  /** Let go of a fold, and of what was made from it: that holds its turns. */
  private unfold(id: string): void {
    this.folds.delete(id);
    this.merged.delete(id);
  }

  private active(): string[] {
    return [...this.rows.values()].filter(row => !FINAL.has(this.statusOf(row))).map(row => row.id).slice(0, MOST_FOLLOWED);
  }

  private statusOf(row: RunRow): string {
    const fold = this.folds.get(row.id);
    return fold && fold.seq >= row.head ? fold.status : row.status;
  }

  /** What is worked on, and what is shown. */
  private wanted(): string[] {
    const { selected } = this.current;
    return [...new Set([...this.active(), ...(selected ? [selected] : [])])];
  }

  private positions(): ReadonlyMap<string, number> {
    return new Map(this.wanted().filter(id => this.folds.has(id)).map(id => [id, this.folds.get(id)!.seq]));
  }

  private async followAll(): Promise<void> {
    await Promise.all(this.wanted().map(id => this.load(id)));
    this.reopenIfChanged();
  }

  private reopenIfChanged(): void {
    const followed = [...this.positions().keys()].sort().join();
    if (followed !== this.followed) {
      this.followed = followed;
      this.stream.reopen();
    }
  }

  /** A run is new, or changed its state. */
  private announced(row: RunRow): void {
    this.keep(row);
    if (this.sessions.has(row.session_id)) {
      void this.followAll();
    } else {
      void this.refresh();
    }
    this.publish();
  }

  /** The stream is open, and misses nothing from here on. */
  private ready(): void {
    this.set({ online: true });
    this.notebooks?.announce();
    clearTimeout(this.asking);
    this.asking = window.setTimeout(() => void this.refresh(), SOON);
  }

  private lost(error: unknown): void {
    if (isGone(error)) {
      void this.dropGone();
    } else {
      this.set({ online: false, loading: false });
    }
  }

  /** A run that is followed was forgotten elsewhere. */
  private async dropGone(): Promise<void> {
    const followed = [...this.positions().keys()];
    await Promise.all(followed.map(id => this.api.run(id).catch(error => isGone(error) && this.drop(id))));
    await this.refresh();
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
    for (const [id, events] of this.pending) {
      const before = this.folds.get(id) ?? emptyRun();
      const after = reduceAll(before, events);
      this.folds.set(id, after.gap ? { ...after, gap: false } : after);
      if (after.gap) {
        void this.catchUp(id);
      }
    }
    this.pending.clear();
    this.publish();
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
    const shown = [...this.rows.values()].map(row => this.shown(row)).sort((a, b) => b.created_ms - a.created_ms);
    const same = shown.length === this.current.runs.length && shown.every((row, place) => row === this.current.runs[place]);
    const runs = same ? this.current.runs : shown;
    const waiting = runs.filter(row => row.status === 'waiting').length;
    const working = runs.filter(row => row.status === 'running' || row.status === 'queued').length;
    this.current = { ...this.current, runs, waiting, working };
    this.listeners.forEach(listener => listener());
  }

  /** What the events say of a run is newer than the list; the same object while nothing of it changed. */
  private shown(row: RunRow): RunRow {
    const fold = this.folds.get(row.id);
    if (!fold || fold.seq < row.head) {
      return row;
    }
    const before = this.merged.get(row.id);
    if (before && before.row === row && before.turns === fold.turns && before.status === fold.status) {
      return before.shown;
    }
    const ended_ms = FINAL.has(fold.status) ? fold.ended : null;
    const shown = { ...row, status: fold.status, reason: fold.reason, ended_ms, used: { ...row.used, ...fold.usage } };
    this.merged.set(row.id, { row, turns: fold.turns, status: fold.status, shown });
    return shown;
  }
}

/** Whether the server knows of no such run; another 404 says that nothing of ours is there. */
function isGone(error: unknown): boolean {
  return error instanceof Refused && error.type === 'RunNotFound';
}
