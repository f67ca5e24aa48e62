import { YNotebook } from '@jupyter/ydoc';
import type { NotebookPanel } from '@jupyterlab/notebook';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { Board } from './board';
import { Changes } from './changes';

// JupyterLab's own, which need a browser.
vi.mock('@jupyterlab/notebook', () => ({}));
vi.mock('@jupyterlab/ui-components', () => ({ ReactWidget: { create: () => ({}) } }));

const NO_SIGNAL = { connect: () => undefined };
const NO_SHELF = { length: 0, key: () => null, getItem: () => null, setItem: () => undefined, removeItem: () => undefined };

beforeAll(() => void vi.stubGlobal('window', { setTimeout }));
afterAll(() => vi.unstubAllGlobals());

test('a double click on what begins a run begins one', async () => {
  const panel = { disposed: NO_SIGNAL, content: { widgets: [], modelContentChanged: NO_SIGNAL }, contentHeader: { addWidget: () => undefined } };
  const begun: string[] = [];
  const board = new Board({ panel: panel as unknown as NotebookPanel, changes: new Changes(new YNotebook(), NO_SHELF, 'k') }, async (wish, cell, said) => void begun.push([wish, cell, said].join(' ').trim()));
  vi.useFakeTimers();
  board.begin('fix', 'a');
  await vi.advanceTimersByTimeAsync(300);
  board.begin('fix', 'a');
  board.begin('fix', 'b');
  board.begin('ask', 'a', 'why?');
  expect(begun).toEqual(['fix a', 'fix b', 'ask a why?']);
  await vi.advanceTimersByTimeAsync(2_000);
  board.begin('fix', 'a');
  expect(begun).toHaveLength(4);
  vi.useRealTimers();
});
