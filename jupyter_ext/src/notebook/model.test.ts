import { YNotebook } from '@jupyter/ydoc';
import { describe, expect, it } from 'vitest';
import { digest } from './digest';
import { brief, change, textsOf } from './model';

function notebook(cells: Record<string, string>): YNotebook {
  const made = new YNotebook();
  made.fromJSON({ nbformat: 4, nbformat_minor: 5, metadata: {}, cells: Object.entries(cells).map(([id, source]) => ({ id, cell_type: 'code', source, metadata: { mine: id }, execution_count: 1, outputs: [{ output_type: 'stream', name: 'stdout', text: source }] })) });
  return made;
}

const said = (shared: YNotebook): Array<[string, string]> => textsOf(shared).map(({ id, source }) => [id, source]);

describe('an open notebook', () => {
  it('is changed as the operations say, in one step that can be undone', () => {
    const shared = notebook({ a: 'one', b: 'two', c: 'three' });
    shared.undoManager.clear();
    change(shared, [
      { op: 'insert', cell: 'n', source: 'new', after: 'a' },
      { op: 'edit', cell: 'n', expected: digest('new'), source: 'newer' },
      { op: 'move', cell: 'a', expected: digest('one'), after: 'c' },
      { op: 'edit', cell: 'b', expected: digest('two'), source: 'two!' },
      { op: 'delete', cell: 'c', expected: digest('three') }
    ]);
    expect(said(shared)).toEqual([['n', 'newer'], ['b', 'two!'], ['a', 'one']]);
    expect(shared.cells[2]!.toJSON()).toMatchObject({ metadata: { mine: 'a' }, outputs: [{ text: 'one' }] });
    shared.undo();
    expect(said(shared)).toEqual([['a', 'one'], ['b', 'two'], ['c', 'three']]);
  });

  it('gets text for Markdown cells only when they are not drawn', () => {
    const shared = notebook({ a: 'one' });
    const heard: unknown[] = [];
    const operations = [{ op: 'insert', cell: 'm', cell_type: 'markdown', source: '![](https://elsewhere/?secret)', after: 'a' }, { op: 'edit', cell: 'a', expected: digest('one'), source: 'two' }] as const;
    change(shared, operations, cells => heard.push(cells, said(shared)));
    expect(heard).toEqual([['m'], [['a', 'two'], ['m', '']]]);
    expect(said(shared)[1]).toEqual(['m', '![](https://elsewhere/?secret)']);
  });

  it('stays as it is when one operation is refused', () => {
    const shared = notebook({ a: 'one' });
    const refused = () => change(shared, [{ op: 'insert', cell: 'n', source: 'x' }, { op: 'edit', cell: 'a', expected: '00000000', source: 'y' }]);
    expect(refused).toThrow("Cell 'a' was changed since you read it");
    expect(said(shared)).toEqual([['a', 'one']]);
  });

  it('is shown without its bulk, with pictures of the cells that are named', () => {
    const shared = notebook({ a: 'x'.repeat(100_000) });
    shared.addCell({ cell_type: 'code', id: 'p', source: '', metadata: {}, execution_count: 2, outputs: [{ output_type: 'display_data', metadata: {}, data: { 'image/png': 'AAAA', 'application/vnd.x': { big: 1 } } }] });
    const [text, picture] = (brief(shared, new Set(['p'])) as { cells: Array<{ source: string; outputs: Array<{ text: string; data: object }> }> }).cells;
    expect(text!.source.length).toBe(100_000);
    expect(text!.outputs[0]!.text.length).toBeLessThan(41_000);
    expect(picture!.outputs[0]!.data).toEqual({ 'image/png': 'AAAA' });
    expect(JSON.stringify(brief(shared, new Set()))).not.toContain('AAAA');
  });
});
