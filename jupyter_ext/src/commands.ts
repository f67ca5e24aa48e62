// What a line that begins with a slash asks for, as in the magic (agent_kernel/shell/slash.py).
export const COMMANDS = {
  help: 'this list',
  status: 'what the run is doing',
  say: 'tell a running agent something; it hears it with its next request: /say MESSAGE',
  approve: 'answer what the run asks: /approve [allow|session|deny]',
  stop: 'stop the run',
  pause: 'pause the run after the step it is at',
  resume: 'go on with a paused or interrupted run',
  undo: 'put files back to before the run: /undo [PATH]',
  diff: "the run's changes to files",
  cost: 'tokens and money of the run',
  compact: 'replace the history, for the model, by a summary',
  clear: 'have the model forget the history; you still see it',
  model: 'the model, or another one from now on: /model [NAME]',
  runs: 'all runs, newest first',
  new: 'a new conversation, which knows nothing of this one',
  export: 'download the transcript: /export ipynb|html|md|clean',
  retry: 'ask the same again, as a new run'
} as const;

/** Commands of the magic that are asked for otherwise here, or not at all. */
const OF_CELLS = new Set(['skills', 'tools', 'show', 'notebook', 'fork', 'schedule', 'schedules']);

export type CommandName = keyof typeof COMMANDS;

export type Typed = { name: CommandName; argument: string } | { problem: string } | null;

/** The command in `text`; what is wrong with it; or null when it is no command but a prompt. */
export function parse(text: string): Typed {
  const found = /^\/([a-z]+)(?:\s+([\s\S]*))?$/.exec(text.trim());
  if (!found) {
    return null;
  }
  const [, name = '', argument = ''] = found;
  if (Object.hasOwn(COMMANDS, name)) {
    return { name: name as CommandName, argument: argument.trim() };
  }
  if (OF_CELLS.has(name)) {
    return { problem: `/${name} is a command of notebook cells: %agent /${name}` };
  }
  const close = Object.keys(COMMANDS).find(known => known.startsWith(name.slice(0, 2)));
  return { problem: `/${name} is not a command. ${close ? `Did you mean /${close}?` : 'See /help.'}` };
}

export interface Completion {
  /** Where in the text the completed word begins. */
  from: number;
  kind: 'command' | 'file';
  /** What is typed of it so far. */
  typed: string;
}

/** What could be completed before the caret. */
export function completionAt(text: string, caret: number): Completion | null {
  const before = text.slice(0, caret);
  const command = /^\s*\/([a-z]*)$/.exec(before);
  if (command) {
    return { from: before.indexOf('/'), kind: 'command', typed: command[1] ?? '' };
  }
  const file = /(?:^|[\s(\[{'",;:])@([\w.~/-]*)$/.exec(before);
  return file ? { from: caret - (file[1] ?? '').length - 1, kind: 'file', typed: file[1] ?? '' } : null;
}

const CODE = /```[^]*?(?:```|$)|~~~[^]*?(?:~~~|$)|`[^`\n]*`/g;
const NAMED = /(?<![^\s([{'",;:])@([^\s"'`,;()[\]{}<>]+)/g;

/** What a prompt may name of a kernel's variables, as agent_kernel/shell/prompt.py reads it: not in code, not a path. */
export function namesIn(prompt: string): string[] {
  const typed = [...prompt.replace(CODE, ' ').matchAll(NAMED)].map(found => found[1]!.replace(/[.:!?…]+$/, ''));
  return [...new Set(typed.filter(name => /^[\p{L}_][\p{L}\p{N}_]*$/u.test(name)))];
}

/** A file as a prompt names it: with quotes where it would end too soon. */
export function mention(path: string): string {
  return /^[\w.~/][\w.~/-]*$/.test(path) ? `@${path}` : `@"${path.replace(/"/g, '')}"`;
}
