// Answers for the notebooks that are open in this page: reads them, changes them, runs their cells, when tools ask.
import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { MarkdownCell } from '@jupyterlab/cells';
import { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { Api, Question } from '../api';
import type { Answerer } from '../hub';
import { Changes } from './changes';
import { askKernel } from './kernel';
import { brief, change } from './model';
import { Operation, Refusal, Stale } from './operations';
import { runCells } from './running';
import { save, watch } from './saving';
import { PREFIX } from './shelf';

/** A page nobody looks at leaves it to another one with the same notebook, if there is one. */
const POLITE = 300;
const SOON = 50;
/** So long what was said before is waited for: its connection may be dead. */
const LONGEST_TOLD = 5_000;
const MOST_TAKEN = 500;
const MOST_UNHEARD = 10;

export interface Opened {
  panel: NotebookPanel;
  changes: Changes;
}

export class NotebookPages implements Answerer {
  private readonly opened = new Map<NotebookPanel, Opened>();
  private readonly taken = new Set<string>();
  /** Answers that the server has not heard, by question; it asks again when the stream is back. */
  private readonly unheard = new Map<string, object>();
  private readonly working = new Map<string, AbortController>();
  private announcing = 0;
  private told: Promise<unknown> = Promise.resolve();

  /** `shown` is told of each notebook when its content is there. */
  constructor(
    private readonly app: JupyterFrontEnd,
    private readonly api: Api,
    tracker: INotebookTracker,
    private readonly shown: (opened: Opened) => void
  ) {
    tracker.widgetAdded.connect((_, panel) => void this.open(panel));
    tracker.forEach(panel => void this.open(panel));
  }

  /** Jupyter's own path, without the name of the drive that jupyter-collaboration puts before it. */
  pathOf(panel: NotebookPanel): string {
    return this.app.serviceManager.contents.localPath(panel.context.path);
  }

  readonly announce = (): void => {
    clearTimeout(this.announcing);
    this.announcing = window.setTimeout(() => {
      const before = Promise.race([this.told, new Promise(resolve => setTimeout(resolve, LONGEST_TOLD))]);
      this.told = before.then(() => this.tell()); // in order: what arrives last counts
    }, SOON);
  };

  private async tell(): Promise<void> {
    const paths = [...new Set([...this.opened.keys()].map(panel => this.pathOf(panel)))];
    await this.api.showNotebooks(paths).catch(() => undefined); // asked for again when the stream is back
  }

  readonly asked = (question: Question): void => {
    if (question.action === 'end') {
      this.working.get(question.id)?.abort();
    } else if (this.unheard.has(question.id)) {
      void this.say(question.id, this.unheard.get(question.id)!).catch(() => undefined);
    } else if (!this.taken.has(question.id)) {
      void this.take(question).catch(() => undefined); // without the server there is nobody to tell
    }
  };

  private async open(panel: NotebookPanel): Promise<void> {
    await panel.context.ready;
    await panel.revealed;
    if (panel.isDisposed || !panel.model) {
      return;
    }
    watch(panel.context);
    const opened = { panel, changes: new Changes(panel.model.sharedModel, localStorage, this.key(panel)) };
    this.opened.set(panel, opened);
    panel.disposed.connect(() => {
      this.opened.delete(panel);
      this.announce();
    });
    panel.context.pathChanged.connect(() => {
      opened.changes.rename(this.key(panel));
      this.announce();
    });
    this.announce();
    this.shown(opened);
  }

  private key(panel: NotebookPanel): string {
    return PREFIX + this.pathOf(panel);
  }

  private async take(question: Question): Promise<void> {
    const opened = [...this.opened.values()].find(({ panel }) => this.pathOf(panel) === question.path);
    if (!opened) {
      this.announce();
      return;
    }
    this.remember(question.id);
    if (document.hidden) {
      await new Promise(resolve => setTimeout(resolve, POLITE));
    }
    const ending = new AbortController();
    this.working.set(question.id, ending);
    try {
      if (await this.claim(question.id)) {
        await this.say(question.id, await this.answer(opened, question, ending.signal));
      }
    } finally {
      this.working.delete(question.id);
    }
  }

  private async claim(question: string): Promise<boolean> {
    try {
      return await this.api.claim(question);
    } catch (error) {
      this.taken.delete(question); // nothing was done yet: it can be taken when it is asked again
      throw error;
    }
  }

  private async say(question: string, answer: object): Promise<void> {
    this.unheard.delete(question);
    try {
      await this.api.answerQuestion(question, answer);
    } catch (error) {
      this.unheard.set(question, answer);
      if (this.unheard.size > MOST_UNHEARD) {
        this.unheard.delete(this.unheard.keys().next().value!);
      }
      throw error;
    }
  }

  private remember(id: string): void {
    this.taken.add(id);
    if (this.taken.size > MOST_TAKEN) {
      this.taken.delete(this.taken.values().next().value!);
    }
  }

  private async answer(opened: Opened, question: Question, ending: AbortSignal): Promise<object> {
    try {
      return await this.carryOut(opened, question, ending);
    } catch (error) {
      const { message, hint = '' } = error as Partial<Refusal>;
      const seen = error instanceof Stale ? { cell: error.cell, expected: error.expected, source: error.source } : {};
      return { refused: { message: message ?? String(error), hint, ...seen } };
    }
  }

  private async carryOut({ panel, changes }: Opened, question: Question, ending: AbortSignal): Promise<object> {
    const model = panel.model;
    if (!model || ending.aborted) {
      throw new Refusal('The notebook was closed just now.', 'Try again.');
    }
    const { run = '', call = '' } = question as { run?: string; call?: string };
    switch (question.action) {
      case 'read':
        return { notebook: brief(model.sharedModel, new Set(question.cells as string[])), dirty: model.dirty };
      case 'edit': {
        if (model.readOnly) {
          throw new Refusal('The notebook is open for reading only.');
        }
        const operations = question.operations as Operation[];
        const old = changes.content(operations.map(({ cell }) => cell));
        const states = change(model.sharedModel, operations, cells => draw(panel, cells, false));
        changes.record(run, call, operations, states, old);
        const done = operations.map(({ cell }, number) => {
          const cells = states[number + 1]!;
          const at = cells.findIndex(({ id }) => id === cell);
          return { cell, at, count: cells.length, source: cells[at]?.source ?? '' };
        });
        return { done, problem: await save(panel.context) };
      }
      case 'run': {
        changes.ran(call);
        const { ran, problem } = await runCells(panel, question.cells as Array<{ cell: string; expected: string }>, question.seconds as number, ending);
        await save(panel.context);
        return { ran, problem, notebook: brief(model.sharedModel, new Set(ran)) };
      }
      case 'kernel':
        return askKernel<object>(panel, question.asked as object, ending);
      case 'undo': {
        const undone = changes.undo(question.calls as string[]);
        return { ...undone, problem: await save(panel.context) };
      }
      case 'reload':
        await (model.dirty ? undefined : panel.context.revert());
        return {};
      default:
        return { problem: await save(panel.context) };
    }
  }
}

/** Show Markdown cells as what they say, or drawn. */
export function draw(panel: NotebookPanel, cells: readonly string[], drawn: boolean): void {
  for (const cell of panel.content.widgets) {
    if (cells.includes(cell.model.id) && cell.model.type === 'markdown') {
      (cell as MarkdownCell).rendered = drawn;
    }
  }
}
