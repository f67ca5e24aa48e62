// One open notebook's bars: which stand under which cell, and what their buttons do.
import type { Cell, ICodeCellModel } from '@jupyterlab/cells';
import { ReactWidget } from '@jupyterlab/ui-components';
import { PanelLayout, Widget } from '@lumino/widgets';
import type { ReactElement } from 'react';
import { AskBar, ChangeBar, ErrorBar, RunBars, keyOf } from './CellBars';
import type { Change, Changes } from './changes';
import { Opened, draw } from './pages';
import type { Wish } from './prompts';
import { errorOf } from './running';

const QUIET = 150;
/** A second click so soon after a run has begun is the second of a double click. */
const DOUBLE = 700;

interface Wanted {
  host: Cell;
  draw: () => ReactElement;
}

export class Board {
  readonly changes: Changes;
  /** What there is to say of the last press of a button. */
  said = '';
  private asking: string | null = null;
  private readonly beginning = new Set<string>();
  private readonly bars = new Map<string, Widget>();
  private readonly listeners = new Set<() => void>();
  private count = 0;
  private timer = 0;

  constructor(
    private readonly opened: Opened,
    private readonly start: (wish: Wish, cell: string, said: string) => Promise<void>
  ) {
    const { panel, changes } = opened;
    this.changes = changes;
    const unsubscribe = changes.subscribe(this.soon);
    panel.content.model?.contentChanged.connect(this.later);
    panel.content.modelContentChanged.connect(this.later);
    const fit = (height: number): void => {
      top.node.style.minHeight = `${height}px`; // Lumino's boxes go by it
      panel.contentHeader.fit();
    };
    const top = ReactWidget.create(<RunBars board={this} fit={fit} />);
    panel.contentHeader.addWidget(top);
    panel.disposed.connect(() => {
      unsubscribe();
      clearTimeout(this.timer);
    });
    this.soon();
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  readonly version = (): number => this.count;

  accept(changes: readonly Change[]): void {
    this.said = '';
    this.changes.accept(changes);
    draw(this.opened.panel, changes.map(({ cell }) => cell), true);
  }

  reject(changes: readonly Change[]): void {
    const left = this.changes.reject(changes);
    this.said = left.length ? `Left alone, because you changed ${left.length === 1 ? 'the cell' : 'the cells'} since: ${left.length}.` : '';
    this.soon();
  }

  reopen(changes: readonly Change[]): void {
    this.said = '';
    this.changes.reopen(changes);
  }

  /** Go to the next of these changes, from wherever the keyboard is. */
  next(changes: readonly Change[]): void {
    const bars = changes.map(change => this.bars.get(`change ${keyOf(change)}`)).filter(bar => !!bar);
    const places = bars.map(bar => this.cells().findIndex(cell => cell.contains(bar)));
    const here = this.opened.panel.content.activeCellIndex;
    const inBar = bars.findIndex(bar => bar.node.contains(document.activeElement));
    const order = bars.map((bar, at) => ({ bar, place: places[at]! })).sort((a, b) => a.place - b.place);
    const next = inBar >= 0 ? order[(order.findIndex(({ bar }) => bar === bars[inBar]) + 1) % order.length] : (order.find(({ place }) => place > here) ?? order[0]);
    if (next) {
      this.opened.panel.content.activeCellIndex = Math.max(0, next.place);
      next.bar.node.scrollIntoView({ block: 'center' });
      next.bar.node.querySelector<HTMLElement>('button')?.focus();
    }
  }

  /** Show the line to ask about a cell; null takes it away. */
  ask(cell: string | null): void {
    this.asking = cell;
    this.soon();
  }

  begin(wish: Wish, cell: string, said = ''): void {
    const asked = JSON.stringify([wish, cell, said]);
    if (!this.beginning.has(asked)) {
      this.beginning.add(asked);
      void this.start(wish, cell, said).finally(() => setTimeout(() => this.beginning.delete(asked), DOUBLE));
    }
  }

  private readonly soon = (): void => {
    this.count++;
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.place(), 0);
    this.listeners.forEach(listener => listener());
  };

  /** People type: once they pause. */
  private readonly later = (): void => {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(this.soon, QUIET);
  };

  private cells(): readonly Cell[] {
    return this.opened.panel.content.widgets;
  }

  private place(): void {
    if (this.opened.panel.isDisposed) {
      return;
    }
    const wanted = this.wanted();
    for (const [key, bar] of this.bars) {
      if (bar.isDisposed || bar.parent !== wanted.get(key)?.host) {
        bar.dispose();
        this.bars.delete(key);
      }
    }
    for (const [key, { host, draw }] of wanted) {
      if (!this.bars.has(key)) {
        const bar = ReactWidget.create(draw());
        bar.addClass('agk-cellhost');
        this.bars.set(key, bar);
        bar.parent = host; // until the cell is drawn it has a parent and no place
        void host.ready.then(() => bar.isDisposed || (host.layout as PanelLayout).addWidget(bar));
      }
    }
  }

  private wanted(): Map<string, Wanted> {
    const wanted = new Map<string, Wanted>();
    const cells = new Map(this.cells().map(cell => [cell.model.id, cell]));
    for (const change of this.changes.snapshot()) {
      const host = change.closed ? undefined : (cells.get(change.cell) ?? cells.get(change.behind) ?? this.cells()[0]);
      if (host) {
        const key = keyOf(change);
        wanted.set(`change ${key}`, { host, draw: () => <ChangeBar board={this} of={key} /> });
      }
    }
    for (const [id, host] of cells) {
      if (isPythonError(host)) {
        wanted.set(`error ${id}`, { host, draw: () => <ErrorBar board={this} cell={id} /> });
      }
      if (id === this.asking) {
        wanted.set(`ask ${id}`, { host, draw: () => <AskBar board={this} cell={id} /> });
      }
    }
    return wanted;
  }
}

/** Cells that are prompts themselves say in their own view what went wrong. */
function isPythonError(cell: Cell): boolean {
  const error = errorOf(cell);
  return error !== null && !error.name.startsWith('Agent') && !/^\s*%{1,2}agent\b/.test((cell.model as ICodeCellModel).sharedModel.getSource());
}
