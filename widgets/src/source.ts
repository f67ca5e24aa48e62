// Where a view's events come from, and where its actions go. Hosts supply it; views know nothing else of them.
import type { AnyEvent, UnknownEvent } from './events';

export type Action =
  | { kind: 'approve'; id: string; decision: 'allow' | 'deny' | 'session' }
  | { kind: 'control'; action: 'pause' | 'resume' | 'cancel' | 'take-over' | 'hand-back' }
  | { kind: 'message'; text: string }
  | { kind: 'skip' }
  | { kind: 'shorten'; clear: boolean }
  | { kind: 'undo'; call_id: string | null; path?: string };

/** How the model is reached, and who set it up. */
export interface ModelKnown {
  by: 'server' | 'you' | '';
  model: string;
  base_url: string;
  key: boolean;
  demo: boolean;
}

export interface ModelSetup {
  model?: string;
  base_url?: string;
  api_key?: string;
}

/** Where a person's model is set up. Raises errors whose message (or `sentence`) a person can read. */
export interface ModelDoor {
  get(): Promise<ModelKnown>;
  test(setup: ModelSetup): Promise<{ ok: boolean; model: string; message: string; hint: string }>;
  put(setup: ModelSetup): Promise<ModelKnown>;
  forget(): Promise<ModelKnown>;
}

export interface Info {
  model?: string;
  demo?: boolean;
  permission?: string;
  agent?: string | undefined;
  session?: string;
  workspace?: string;
  tier?: string;
  /** Nothing can run before a model is set up. */
  setup?: boolean;
}

/** Where something served in the sandbox is reached by this page, until `expires_ms` (0: while it lives). */
export interface PreviewAddress {
  url: string;
  expires_ms: number;
}

/** Raises an error whose message a person can read. */
export type OpenPreview = (run: string, port: number) => Promise<PreviewAddress>;

export interface RunSource {
  subscribe(listener: (events: Array<AnyEvent | UnknownEvent>) => void): () => void;
  send(action: Action): void;
  /** Ask for what is missing after event `seq`. */
  resend(seq: number): void;
  info(): Info;
  onInfo(listener: () => void): () => void;
  onNotice(listener: (text: string) => void): () => void;
  /** Left out where nothing served can be reached. */
  openPreview?: OpenPreview;
  /** Left out where no model can be set up. */
  model?: ModelDoor;
}
