// The server extension's REST interface: what is asked, what comes back, and errors a person can read.
import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import type { AnyEvent, FileChangeEvent, UndoEvent } from '../../widgets/src/events';
import type { Usage } from '../../widgets/src/run';
import type { Ahead } from '../../widgets/src/window';
import type { ModelDoor } from '../../widgets/src/source';

export interface Session {
  id: string;
  name: string;
  title: string;
  workspace: string;
  notebook: string | null;
  updated_ms: number;
}

export interface RunRow {
  id: string;
  session_id: string;
  parent_id: string | null;
  prompt: string;
  model: string;
  agent?: string | null;
  status: string;
  reason: string;
  options: { permission?: string; budget?: number; cell?: string };
  created_ms: number;
  started_ms: number | null;
  ended_ms: number | null;
  head: number;
  used: Partial<Usage> | null;
}

/** What all runs used on one day of one model. */
export interface UsedOn {
  day: string;
  model: string;
  used: Usage;
}

/** Runs started on one day, of one model and agent and with one status, and what they used. */
export interface Worked {
  day: string;
  model: string;
  agent: string;
  status: string;
  runs: number;
  seconds: number;
  used: Usage & { turns: number };
}

/** What a run gets when nothing is said, and the folder that the server shows. */
export interface Defaults {
  root: string;
  model: string;
  permission: string;
  /** Whether the default model can be reached at all: a key, or an endpoint of one's own. */
  ready: boolean;
}

/** A skill, or an agent definition, that a session may use. */
export interface Named {
  name: string;
  description: string;
  state: string;
}

/** Something of a workspace that wants to be trusted, as it is now. */
export interface Asking {
  kind: 'skill' | 'agent' | 'mcp';
  name: string;
  about: string;
  place: string;
  hash: string;
  files: Array<{ path: string; size: number; executable: boolean; text: string; cut: boolean }>;
}

export interface Options {
  model?: string;
  agent?: string;
  permission?: string;
}

/** What a tool asks of a notebook that is open here; the rest of it is the action's own. */
export interface Question {
  id: string;
  path: string;
  action: 'read' | 'save' | 'edit' | 'run' | 'kernel' | 'undo' | 'reload' | 'end';
  [more: string]: unknown;
}

/** Names this page, as long as it is not loaded anew. */
export const PAGE_ID = Array.from(crypto.getRandomValues(new Uint8Array(12)), byte => byte.toString(16).padStart(2, '0')).join('');

/** A refusal: `message` and `hint` are sentences; `status` is 0 when the server was not reached. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly hint: string,
    /** The error's name in `agent_kernel.errors`. */
    readonly type = ''
  ) {
    super(message);
  }

  get sentence(): string {
    return [this.message, this.hint].filter(Boolean).join(' ');
  }
}

export const PAGE = 200;
const LONGEST_PAGE = 10_000;

export class Api {
  constructor(readonly settings: ServerConnection.ISettings = ServerConnection.makeSettings()) {}

  /** Newest first; with `before`, those created earlier. */
  runs = async (before = 0): Promise<RunRow[]> =>
    (await this.get<{ runs: RunRow[] }>(`runs?limit=${PAGE}${before ? `&before=${before}` : ''}`)).runs;

  runsOf = async (session: string): Promise<RunRow[]> =>
    (await this.get<{ runs: RunRow[] }>(`runs?limit=${PAGE}&session=${session}`)).runs;

  /** The run as a cell keeps it. */
  output = (run: string): Promise<{ data: Record<string, string>; metadata: Record<string, unknown> }> => this.get(`runs/${run}/output`);

  sessions = async (): Promise<Session[]> => (await this.get<{ sessions: Session[] }>('sessions?limit=1000')).sessions;

  run = (id: string): Promise<RunRow> => this.get(`runs/${id}`);

  usedOn = async (days: number): Promise<UsedOn[]> => (await this.get<{ days: UsedOn[] }>(`usage?days=${days}`)).days;

  worked = async (days: number): Promise<Worked[]> => (await this.get<{ runs: Worked[] }>(`usage?days=${days}`)).runs;

  defaults = (): Promise<Defaults> => this.get('defaults');

  readonly model: ModelDoor = {
    get: () => this.get('model'),
    test: setup => this.post('model/test', setup),
    put: setup => this.call('model', { method: 'PUT', body: JSON.stringify(setup) }),
    forget: () => this.call('model', { method: 'DELETE' })
  };

  asking = async (workspace: string): Promise<Asking[]> =>
    (await this.get<{ asking: Asking[] }>(`trust?workspace=${encodeURIComponent(workspace)}`)).asking;

  /** What is left to be trusted. */
  trust = async (workspace: string, { kind, name, hash }: Asking): Promise<Asking[]> =>
    (await this.post<{ asking: Asking[] }>('trust', { workspace, kind, name, hash })).asking;

  /** The session's next run has the tools that its servers offer then. */
  refreshTools = (session: string): Promise<unknown> => this.post('mcp/refresh', { session });

  /** What can be used by name; without a session, what is this person's everywhere. */
  skills = async (session: string | null): Promise<Named[]> => usable((await this.get<{ skills: Named[] }>(`skills${of(session)}`)).skills);

  agents = async (session: string | null): Promise<Named[]> => usable((await this.get<{ agents: Named[] }>(`agents${of(session)}`)).agents);

  openSession = (body: { name?: string; workspace: string; notebook?: string; new?: boolean }): Promise<Session> =>
    this.post('sessions', body);

  /** With `beside`, the run may use the kernel of that notebook, which is open in a page. */
  start = (session: string, prompt: string, options: Options, beside: string | null = null): Promise<RunRow> => this.post('runs', { session, prompt, options, beside });

  say = (run: string, text: string): Promise<unknown> => this.post(`runs/${run}/messages`, { text });

  answer = (run: string, request: string, decision: string): Promise<unknown> =>
    this.post(`runs/${run}/approvals/${encodeURIComponent(request)}`, { decision });

  control = (run: string, action: 'pause' | 'resume' | 'cancel' | 'take-over' | 'hand-back'): Promise<unknown> => this.post(`runs/${run}/${action}`, {});

  undo = (run: string, call_id: string | null, path?: string): Promise<UndoEvent> =>
    this.post(`runs/${run}/undo`, { call_id, path: path ?? null });

  /** A new run, in a session of its own, that knows what `run` knew after its event `seq`. */
  fork = (run: string, seq: number, prompt: string, restore: boolean): Promise<RunRow> => this.post(`runs/${run}/fork`, { seq, prompt, restore });

  ahead = (run: string): Promise<Ahead> => this.get(`runs/${run}/ahead`);

  /** What the run did to each file, its steps taken together. */
  diff = async (run: string): Promise<FileChangeEvent[]> => (await this.get<{ changes: FileChangeEvent[] }>(`runs/${run}/diff`)).changes;

  shorten = (session: string, clear: boolean): Promise<unknown> => this.post(`sessions/${session}/${clear ? 'clear' : 'compact'}`, {});

  retry = (run: string): Promise<RunRow> => this.post(`runs/${run}/retry`, {});

  forget = (session: string, force = false): Promise<unknown> => this.call(`sessions/${session}${force ? '?force=1' : ''}`, { method: 'DELETE' });

  /** Say which notebooks this page has open. */
  showNotebooks = (notebooks: string[]): Promise<unknown> => this.call(`pages/${PAGE_ID}`, { method: 'PUT', body: JSON.stringify({ notebooks }) });

  /** Whether this page, of all that have the notebook open, is to do what is asked. */
  claim = async (question: string): Promise<boolean> => (await this.post<{ yours: boolean }>(`pages/${PAGE_ID}/claims/${question}`, {})).yours;

  answerQuestion = (question: string, answer: object): Promise<unknown> => this.post(`pages/${PAGE_ID}/answers/${question}`, { answer });

  /** All stored events of a run after `seq`, page by page. */
  async *events(run: string, seq: number): AsyncGenerator<AnyEvent[]> {
    for (let after = seq, head = seq + 1; after < head; ) {
      const page = await this.get<{ events: AnyEvent[]; head: number }>(`runs/${run}/events?after=${after}&limit=${LONGEST_PAGE}`);
      yield page.events;
      after = page.events[page.events.length - 1]?.seq ?? page.head;
      head = page.head;
    }
  }

  url(path: string): string {
    return URLExt.join(this.settings.baseUrl, 'api/agent', path);
  }

  transcriptUrl(run: string, format: string): string {
    return URLExt.join(this.settings.baseUrl, 'api/agent/runs', run, `transcript?format=${format}`);
  }

  /** The server's answer as it comes; for the stream. */
  async open(path: string, signal: AbortSignal): Promise<Response> {
    return this.checked(await this.request(path, { signal, headers: { Accept: 'text/event-stream' } }));
  }

  private get = <T>(path: string): Promise<T> => this.call<T>(path, {});

  private post = <T>(path: string, body: object): Promise<T> => this.call<T>(path, { method: 'POST', body: JSON.stringify(body) });

  /** The answer to any request, as JSON. */
  async call<T>(path: string, init: RequestInit): Promise<T> {
    const response = await this.checked(await this.request(path, init));
    return (await response.json()) as T;
  }

  private async request(path: string, init: RequestInit): Promise<Response> {
    try {
      return await ServerConnection.makeRequest(URLExt.join(this.settings.baseUrl, 'api/agent', path), init, this.settings);
    } catch (error) {
      if (init.signal?.aborted) {
        throw error;
      }
      throw new Refused(0, 'The Jupyter server cannot be reached.', 'The run goes on there; this page tries again by itself.');
    }
  }

  private async checked(response: Response): Promise<Response> {
    if (response.ok) {
      return response;
    }
    const { error } = (await response.json().catch(() => ({}))) as { error?: { type?: string; message?: string; hint?: string } };
    throw new Refused(
      response.status,
      error?.message ?? `The Jupyter server answered ${response.status}.`,
      error?.hint ?? (response.status === 403 ? 'Reload the page to log in again.' : ''),
      error?.type
    );
  }
}

function usable(found: Named[]): Named[] {
  return found.filter(one => one.state === 'on');
}

function of(session: string | null): string {
  return session ? `?session=${session}` : '';
}
