// The rows of a diff, and the language each is written in.
import type { FileChangeEvent } from '../events';
import { visible } from './plain';

const MOST_COLOURED = 2_000;
const ENDINGS: Record<string, string> = { md: 'markdown', py: 'python', sh: 'bash', js: 'javascript', ts: 'javascript', tsx: 'javascript', jsx: 'javascript', json: 'json', ipynb: 'json', yaml: 'yaml', yml: 'yaml', sql: 'sql' };

/** The language of a file by its name; '' for one we cannot colour. */
export function languageOf(path: string): string {
  return ENDINGS[path.split('.').pop()?.toLowerCase() ?? ''] ?? '';
}

export interface Row {
  kind: ' ' | '+' | '-' | '@';
  text: string;
  language: string;
}

/** A notebook's cells have a heading each, which says their kind. */
const CELL = /^@@ ([^-].*?(?: (code|markdown|raw) cell .*)?) @@$/;
const LANGUAGES: Record<string, string> = { code: 'python', markdown: 'markdown', raw: '' };

export function rowsOf({ diff, path }: Pick<FileChangeEvent, 'diff' | 'path'>): Row[] {
  const lines = diff.split('\n').slice(2);
  if (lines[lines.length - 1] === '') {
    lines.pop();
  }
  const coloured = lines.length <= MOST_COLOURED;
  let language = coloured ? languageOf(path) : '';
  return lines.map(line => {
    const kind = line[0] === '+' || line[0] === '-' || line[0] === '@' ? line[0] : ' ';
    const cell = kind === '@' ? CELL.exec(line) : null;
    if (cell && coloured) {
      language = LANGUAGES[cell[2] ?? ''] ?? 'json';
    }
    return { kind, text: visible(kind === '@' ? (cell?.[1] ?? line) : line.slice(1)), language };
  });
}

/** One text in place of another, before there is a diff of the file. */
export function rowsBetween(before: string, after: string, language: string): Row[] {
  const side = (kind: '+' | '-', text: string): Row[] =>
    text ? text.replace(/\n$/, '').split('\n').map(line => ({ kind, text: visible(line), language })) : [];
  return [...side('-', before), ...side('+', after)];
}
