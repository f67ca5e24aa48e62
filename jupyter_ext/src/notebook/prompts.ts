// What is asked when somebody presses Explain, Fix or Ask at a cell. Texts of errors are quoted: they are data.
import { oneLine } from '../../../widgets/src/views/plain';

export type Wish = 'explain' | 'fix' | 'ask';

export interface Subject {
  notebook: string;
  cell: string;
  error: { name: string; text: string } | null;
}

const MOST_ERROR = 200;

export function promptOf(wish: Wish, { notebook, cell, error }: Subject, said = ''): string {
  const place = `cell \`${cell}\` of \`${notebook}\``;
  const failed = error ? ` It failed with ${quoted(error.name)}: ${quoted(error.text)}.` : '';
  switch (wish) {
    case 'explain':
      return `Explain the error of ${place}.${failed} Read the cell with notebook_read and, where needed, what it builds on. Say in a few sentences what went wrong and why. Change nothing.`;
    case 'fix':
      return `Fix ${place}.${failed} Read it with notebook_read, find the cause, and change the cell with notebook_edit; change other cells only when the cause is there.`;
    default:
      return `${said}\n\nThis is about ${place}.${failed} Look at it with notebook_read; change cells with notebook_edit.`;
  }
}

function quoted(text: string): string {
  return JSON.stringify(oneLine(text, MOST_ERROR));
}
