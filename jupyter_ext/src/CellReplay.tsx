// A transcript whose run is not known here, told cell by cell: what comes later is not seen yet.
import { ReactWidget } from '@jupyterlab/ui-components';
import { createElement, useCallback, useEffect } from 'react';
import { Controls, usePlay } from './Player';

interface CellView {
  node: HTMLElement;
}

/** What is needed of a notebook's view. */
export interface CellList {
  widgets: readonly CellView[];
  activeCellIndex: number;
  scrollToItem?(index: number): Promise<void>;
}

const LATER = 'agk-later';
const LOOK = 1_500;

/** The bar with the controls; it is disposed when it is closed. */
export function cellReplay(cells: CellList): ReactWidget {
  const bar = ReactWidget.create(createElement(Bar, { cells, close: () => bar.dispose() }));
  bar.addClass('agk-told');
  return bar;
}

function Bar({ cells, close }: { cells: CellList; close: () => void }) {
  const wait = useCallback((_: number, speed: number) => LOOK / speed, []);
  const play = usePlay(cells.widgets.length, wait);
  const { at } = play;
  useEffect(() => {
    cells.widgets.forEach((cell, place) => cell.node.classList.toggle(LATER, place >= at));
    if (at) {
      cells.activeCellIndex = at - 1;
      void cells.scrollToItem?.(at - 1).catch(() => undefined);
    }
  }, [cells, at]);
  useEffect(() => () => cells.widgets.forEach(cell => cell.node.classList.remove(LATER)), [cells]);
  return (
    <section className="agk agk-panel" aria-label="Replay" onKeyDown={play.onKeyDown}>
      <Controls play={play} close={close}>
        <span className="agk-dim">The run is not on this server: its cells are told.</span>
      </Controls>
    </section>
  );
}
