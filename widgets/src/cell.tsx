// The anywidget entry: a run in a notebook cell, its events over a comm.
import { createRoot } from 'react-dom/client';
import type { AnyEvent, UnknownEvent } from './events';
import { modelOfServer, previewsOfServer } from './server';
import type { Action, Info, RunSource } from './source';
import css from './style.css';
import { RunView } from './views/RunView';

interface Model {
  get(name: string): unknown;
  on(name: string, callback: (message: unknown) => void): void;
  off(name: string, callback: (message: unknown) => void): void;
  send(content: unknown): void;
}

type Listener = (events: Array<AnyEvent | UnknownEvent>) => void;

const FIRST_WAIT = 250;
/** About a minute; a kernel that has said nothing by then is told everything at once. */
const MOST_HELLOS = 8;

/** Keeps what arrives before there is a view; the backlog covers what came before this module was loaded. */
class CommSource implements RunSource {
  private readonly received: Array<AnyEvent | UnknownEvent> = [];
  private readonly listeners = new Set<Listener>();
  private readonly notices = new Set<(text: string) => void>();
  /** What was done before the kernel is known to listen; null from then on. Jupyter lets messages through to a kernel whose cell runs
   * only some moments after the view is there: one that is sent before waits for the end of the cell. */
  private early: Action[] | null = [];
  readonly openPreview = previewsOfServer();
  readonly model = modelOfServer();

  constructor(private readonly comm: Model) {
    comm.on('msg:custom', this.onMessage);
    comm.on('change:backlog', this.onBacklog);
    this.onBacklog();
    this.greet(MOST_HELLOS, FIRST_WAIT);
  }

  private greet(left: number, wait: number): void {
    if (this.early && left && this.post({ kind: 'hello', after: this.received[this.received.length - 1]?.seq ?? 0 })) {
      setTimeout(() => this.greet(left - 1, wait * 2), wait);
    } else {
      this.heard();
    }
  }

  private heard(): void {
    const early = this.early ?? [];
    this.early = null;
    early.forEach(action => this.post(action));
  }

  private readonly onMessage = (message: unknown): void => {
    const { kind, events, text } = message as { kind?: string; events?: AnyEvent[]; text?: string };
    if (kind === 'events' && Array.isArray(events)) {
      this.take(events);
    } else if (kind === 'heard') {
      this.heard();
    } else if (kind === 'notice' && typeof text === 'string') {
      this.notices.forEach(notice => notice(text));
    }
  };

  private readonly onBacklog = (): void => {
    try {
      this.take(JSON.parse(String(this.comm.get('backlog') || '[]')) as AnyEvent[]);
    } catch {
      // Half a backlog says nothing that the replay will not say.
    }
  };

  private take(events: Array<AnyEvent | UnknownEvent>): void {
    this.received.push(...events.filter(event => event.seq > 0));
    this.listeners.forEach(listener => listener(events));
  }

  subscribe(listener: Listener): () => void {
    this.listeners.add(listener);
    listener(this.received.slice().sort((a, b) => a.seq - b.seq));
    return () => this.listeners.delete(listener);
  }

  resend(seq: number): void {
    this.post({ kind: 'hello', after: seq });
  }

  send(action: Action): void {
    if (this.early) {
      this.early.push(action);
    } else {
      this.post(action);
    }
  }

  /** Whether it could be sent. */
  private post(content: unknown): boolean {
    try {
      this.comm.send(content);
      return true;
    } catch {
      this.notices.forEach(notice => notice('The kernel cannot be reached. Is it still running?'));
      return false;
    }
  }

  info(): Info {
    try {
      const info = JSON.parse(String(this.comm.get('info') || '{}')) as Info;
      return { ...info, tier: String(this.comm.get('tier') || info.tier || '') };
    } catch {
      return {};
    }
  }

  onInfo(listener: () => void): () => void {
    this.comm.on('change:info', listener);
    this.comm.on('change:tier', listener);
    return () => {
      this.comm.off('change:info', listener);
      this.comm.off('change:tier', listener);
    };
  }

  onNotice(listener: (text: string) => void): () => void {
    this.notices.add(listener);
    return () => this.notices.delete(listener);
  }
}

const sources = new WeakMap<object, CommSource>();

function sourceOf(model: Model): CommSource {
  const known = sources.get(model);
  if (known) {
    return known;
  }
  const made = new CommSource(model);
  sources.set(model, made);
  return made;
}

function addStyle(el: HTMLElement): void {
  const root = el.getRootNode();
  const home = root instanceof ShadowRoot ? root : document.head;
  if (!home.querySelector('style[data-agk]')) {
    const style = document.createElement('style');
    style.dataset['agk'] = '';
    style.textContent = css;
    home.append(style);
  }
}

/** Who was in the view with the keyboard stays at its cell when the view goes: from the page's body no key reaches the notebook. */
function keepFocus(el: HTMLElement): () => void {
  let cell: HTMLElement | null = null;
  const onFocus = ({ target }: FocusEvent): void => {
    cell = el.contains(target as Node) ? el.closest<HTMLElement>('.jp-Cell') : null;
  };
  document.addEventListener('focusin', onFocus);
  return () => {
    document.removeEventListener('focusin', onFocus);
    const active = document.activeElement;
    if (!active || active === document.body || el.contains(active)) {
      cell?.focus({ preventScroll: true });
    }
  };
}

export default {
  initialize({ model }: { model: Model }): void {
    sourceOf(model);
  },
  render({ model, el }: { model: Model; el: HTMLElement }): () => void {
    addStyle(el);
    const root = createRoot(el);
    root.render(<RunView source={sourceOf(model)} />);
    const giveBack = keepFocus(el);
    return () => {
      giveBack();
      root.unmount();
    };
  }
};
