// The one event stream of this page: it carries all runs that are followed, and comes back by itself.
import type { AnyEvent } from '../../widgets/src/events';
import { Api, PAGE_ID, Question, Refused, RunRow } from './api';
import { SseParser } from './sse';

/** So many of the server's signs of life have to be missing: a network that slept leaves connections that look alive. */
const MISSED = 3;
const SILENCE = 45_000;
const FIRST_WAIT = 500;
const LONGEST_WAIT = 10_000;

export interface Listener {
  events(events: AnyEvent[]): void;
  announced(run: RunRow): void;
  /** A tool wants to know something of a notebook that is open here, or to change it. */
  asked(question: Question): void;
  /** From now on no run that is new or changes its state is missed. */
  ready(): void;
  lost(error: unknown): void;
}

export class Stream {
  private aborter: AbortController | null = null;
  private silence = 0;
  /** Milliseconds without a word after which the connection is taken to be dead. */
  private patience = SILENCE;
  private retry = 0;
  private wait = FIRST_WAIT;
  private closed = false;

  /** `positions` says, whenever the stream is opened, which runs are followed and what is known of each. */
  constructor(
    private readonly api: Api,
    private readonly positions: () => ReadonlyMap<string, number>,
    private readonly listener: Listener
  ) {
    window.addEventListener('online', this.reopen);
    document.addEventListener('visibilitychange', this.onVisible);
  }

  /** Open it anew: the runs that are followed have changed. */
  readonly reopen = (): void => {
    clearTimeout(this.retry);
    this.aborter?.abort();
    if (!this.closed) {
      this.aborter = new AbortController();
      void this.read(this.aborter);
    }
  };

  close(): void {
    this.closed = true;
    clearTimeout(this.retry);
    clearTimeout(this.silence);
    this.aborter?.abort();
    window.removeEventListener('online', this.reopen);
    document.removeEventListener('visibilitychange', this.onVisible);
  }

  private readonly onVisible = (): void => {
    if (!document.hidden && this.retry) {
      this.reopen();
    }
  };

  private async read(aborter: AbortController): Promise<void> {
    this.retry = 0;
    this.heard(aborter);
    try {
      const query = [...this.positions()].map(([run, seq]) => `run=${run}:${seq}`);
      const response = await this.api.open(`stream?${['announce=1', `page=${PAGE_ID}`, ...query].join('&')}`, aborter.signal);
      this.wait = FIRST_WAIT;
      await this.readAll(response, aborter);
      throw new Refused(0, 'The Jupyter server ended the event stream.', '');
    } catch (error) {
      if (aborter === this.aborter && !this.closed) {
        clearTimeout(this.silence);
        this.listener.lost(error);
        this.retry = window.setTimeout(this.reopen, this.wait * (0.75 + Math.random() / 2));
        this.wait = Math.min(LONGEST_WAIT, this.wait * 2);
      }
    }
  }

  private heard(aborter: AbortController): void {
    clearTimeout(this.silence);
    this.silence = window.setTimeout(() => {
      if (aborter === this.aborter && !this.closed) {
        this.listener.lost(new Refused(0, 'Nothing is heard of the Jupyter server.', ''));
        this.reopen();
      }
    }, this.patience);
  }

  private async readAll(response: Response, aborter: AbortController): Promise<void> {
    const reader = response.body!.getReader();
    const decoder = new TextDecoder();
    const parser = new SseParser();
    for (;;) {
      this.heard(aborter);
      const { done, value } = await reader.read();
      if (done || aborter !== this.aborter) {
        return;
      }
      const events: AnyEvent[] = [];
      for (const { event, data } of parser.take(decoder.decode(value, { stream: true }))) {
        if (event === 'run') {
          this.listener.announced(JSON.parse(data) as RunRow);
        } else if (event === 'notebook') {
          this.listener.asked(JSON.parse(data) as Question);
        } else if (event === 'ready') {
          this.patience = (JSON.parse(data) as { heartbeat: number }).heartbeat * 1_000 * MISSED;
          this.listener.ready();
        } else {
          events.push(JSON.parse(data) as AnyEvent);
        }
      }
      if (events.length) {
        this.listener.events(events);
      }
    }
  }
}
