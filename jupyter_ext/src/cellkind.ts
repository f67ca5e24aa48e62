// What a cell of the agent kernel is, as far as its colours are concerned (`agent_kernel/shell/celltext.py` decides what it does).
const PROMPT = 'text/x-ipythongfm';
const PYTHON = 'text/x-ipython';

export function mimeTypeOf(source: string): string {
  const isPrompt = !/^\s*(%{1,2}[A-Za-z_]|[!?])/.test(source) || /^\s*%%agent\b/.test(source);
  return isPrompt ? PROMPT : PYTHON;
}
