// Generated from agent_kernel/events.py by widgets/generate_events.py. Do not edit.

/** The decision: allow once, deny, or session (allow the request's scope for the session). */
export interface ApprovalAnswerEvent {
  type: 'approval_answer';
  run_id: string;
  seq: number;
  version: number;
  turn: number;
  timestamp: number;
  id: string;
  decision: 'allow' | 'deny' | 'session';
  by: string;
  reason: string;
}

/** A person must decide. id names the request (the call's id, or the call's id and a detail); what says what is wanted, reason why it needs a person, scope what a yes for the session would cover (bash, network:example.org, notebook_python). */
export interface ApprovalRequestEvent {
  type: 'approval_request';
  run_id: string;
  seq: number;
  version: number;
  turn: number;
  timestamp: number;
  id: string;
  call_id: string;
  tool: string;
  what: string;
  reason: string;
  scope: string;
}

/** Something in the sandbox answers HTTP on port, or (not live) no longer. url is its address as the agent sees it; people reach it through the server (runs/{run}/previews/{port}). kind desktop: it is the view of the sandbox's desktop; with view_only=0 instead of 1 in the url people act on it. */
export interface BrowserUpdateEvent {
  type: 'browser_update';
  run_id: string;
  seq: number;
  version: number;
  turn: number;
  timestamp: number;
  url: string;
  port: number;
  title: string;
  live: boolean;
  kind: 'page' | 'desktop';
}

/** Code the agent wrote: a file of source code, or code it ran. */
export interface CodeGenerationEvent {
  type: 'code_generation';
  run_id: string;
  seq: number;
  version: number;
  turn: number;
  timestamp: number;
  language: string;
  code: string;
  path: string | null;
  call_id: string | null;
}

/** For the model, history up to and including up_to of run up_to_run is replaced by summary; an empty one leaves nothing of it. */
export interface CompactionEvent {
  type: 'compaction';
  run_id: string;
  seq: number;
  version: number;
  turn: number;
  timestamp: number;
  up_to_run: string;
  up_to: number;
  summary: string;
}

/** The frozen prefix of the requests that follow. system and tools are blob hashes; tier is the sandbox's. */
export interface ContextEvent {
  type: 'context';
  run_id: string;
  seq: number;
  version: number;
  turn: number;
  timestamp: number;
  model: string;
  system: string;
  tools: string;
  max_tokens: number;
  demo: boolean;
  tier: string;
}

/** Usage of one turn (not a total) and how full the window is after it. cost_usd is None when the model's price is not known. */
export interface ContextUpdateEvent {
  type: 'context_update';
  run_id: string;
  seq: number;
  version: number;
  turn: number;
  timestamp: number;
  model: string;
  input_tokens: number;
  output_tokens: number;
  cache_read_tokens: number;
  cache_write_tokens: number;
  cost_usd: number | null;
  context_tokens: number;
  context_window: number;
}

/** Somebody asks the run to pause, resume or stop. */
export interface ControlEvent {
  type: 'control';
  run_id: string;
  seq: number;
  version: number;
  turn: number;
  timestamp: number;
  action: 'pause' | 'resume' | 'cancel';
  by: string;
}

/** Text still being written; on the bus only, folded away by the block it belongs to. kind text, thinking or input: id is the block's number within the turn ("0", "1" …); the stored blocks of the turn replace it. kind output: live output of the tool call id. tool is the tool's name on the first delta of an input block. */
export interface DeltaEvent {
  type: 'delta';
  run_id: string;
  seq: number;
  version: number;
  turn: number;
  timestamp: number;
  kind: 'text' | 'thinking' | 'input' | 'output';
  id: string;
  text: string;
  tool: string;
}

/** Something failed. retrying says that it will be tried again after delay_ms. */
export interface ErrorEvent {
  type: 'error';
  run_id: string;
  seq: number;
  version: number;
  turn: number;
  timestamp: number;
  kind: string;
  message: string;
  hint: string;
  retrying: boolean;
  attempt: number;
  delay_ms: number;
}

/** A file of the workspace changed. before and after are snapshot ids, for undo. diff is a unified diff, empty for binary files and for files too large to diff (note says so). A notebook's is of the text of its cells, each below a heading (@@ edited: code cell c1 @@). */
export interface FileChangeEvent {
  type: 'file_change';
  run_id: string;
  seq: number;
  version: number;
  turn: number;
  timestamp: number;
  path: string;
  action: 'create' | 'edit' | 'delete';
  diff: string;
  added: number;
  removed: number;
  binary: boolean;
  note: string;
  before: string | null;
  after: string | null;
  call_id: string | null;
}

/** Mouse and keyboard of the sandbox's desktop change hands: while a person has them the agent waits. */
export interface HandoverEvent {
  type: 'handover';
  run_id: string;
  seq: number;
  version: number;
  turn: number;
  timestamp: number;
  to: 'person' | 'agent';
  by: string;
}

/** What a person or the model said. content is set when the blocks are more than one plain text. by is the person who wrote a user message. partial marks an answer cut off by a stop. */
export interface MessageEvent {
  type: 'message';
  run_id: string;
  seq: number;
  version: number;
  turn: number;
  timestamp: number;
  role: 'user' | 'assistant';
  text: string;
  content: Array<Record<string, unknown>> | null;
  by: string;
  partial: boolean;
}

/** How content block number block of a tool result came about, and its richer forms for people. */
export interface Output {
  block: number;
  kind: 'stdout' | 'stderr' | 'result' | 'display' | 'error';
  data: Record<string, string>;
}

/** The run's state changed. running with reason thinking marks the start of a turn: the request of that turn contains exactly the events before this one. */
export interface StatusEvent {
  type: 'status';
  run_id: string;
  seq: number;
  version: number;
  turn: number;
  timestamp: number;
  status: 'queued' | 'running' | 'waiting' | 'paused' | 'completed' | 'failed' | 'cancelled';
  reason: string;
}

/** A thinking block. block is set when the provider's block is not a plain thinking block. */
export interface ThoughtEvent {
  type: 'thought';
  run_id: string;
  seq: number;
  version: number;
  turn: number;
  timestamp: number;
  text: string;
  signature: string | null;
  block: Record<string, unknown> | null;
}

/** The plan as a checklist; each one replaces the last. */
export interface TodoEvent {
  type: 'todo';
  run_id: string;
  seq: number;
  version: number;
  turn: number;
  timestamp: number;
  items: Array<TodoItem>;
}

/** One line of the plan. */
export interface TodoItem {
  text: string;
  status: 'pending' | 'in_progress' | 'completed';
}

/** The model asks for a tool. id is unique within the run. */
export interface ToolCallEvent {
  type: 'tool_call';
  run_id: string;
  seq: number;
  version: number;
  turn: number;
  timestamp: number;
  id: string;
  tool: string;
  args: Record<string, unknown>;
  block: Record<string, unknown> | null;
}

/** The one result of a call. content are Messages API blocks (text, image) as the model sees them; outputs says which of them are cell outputs and adds other mime types of the same thing. truncated_bytes is what the model's copy leaves out; output_path the file that holds the whole. foreign says where text of strangers in it is from (see foreign.py); empty: there is none. */
export interface ToolResultEvent {
  type: 'tool_result';
  run_id: string;
  seq: number;
  version: number;
  turn: number;
  timestamp: number;
  id: string;
  content: Array<Record<string, unknown>>;
  is_error: boolean;
  duration_ms: number;
  truncated_bytes: number;
  output_path: string | null;
  outputs: Array<Output>;
  foreign: string;
}

/** Appended once per call, before anything happens; of two executors one wins. */
export interface ToolStartEvent {
  type: 'tool_start';
  run_id: string;
  seq: number;
  version: number;
  turn: number;
  timestamp: number;
  id: string;
  executor: string;
}

/** Files were put back to snapshot. paths are those restored, skipped those left alone because they had changed since. */
export interface UndoEvent {
  type: 'undo';
  run_id: string;
  seq: number;
  version: number;
  turn: number;
  timestamp: number;
  snapshot: string;
  paths: Array<string>;
  skipped: Array<string>;
  call_id: string | null;
  by: string;
}

export type AnyEvent = StatusEvent | ContextEvent | ThoughtEvent | MessageEvent | ToolCallEvent | ToolStartEvent | ToolResultEvent | ApprovalRequestEvent | ApprovalAnswerEvent | FileChangeEvent | CodeGenerationEvent | BrowserUpdateEvent | ContextUpdateEvent | TodoEvent | ControlEvent | HandoverEvent | UndoEvent | CompactionEvent | ErrorEvent | DeltaEvent;

/** An event of a type or version this program does not know: shown, not dropped. */
export interface UnknownEvent {
  type: string;
  run_id: string;
  seq: number;
  version: number;
  turn: number;
  timestamp: number;
  [field: string]: unknown;
}

export const KNOWN_TYPES: ReadonlySet<string> = new Set(['status', 'context', 'thought', 'message', 'tool_call', 'tool_start', 'tool_result', 'approval_request', 'approval_answer', 'file_change', 'code_generation', 'browser_update', 'context_update', 'todo', 'control', 'handover', 'undo', 'compaction', 'error', 'delta']);
