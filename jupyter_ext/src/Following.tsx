// A run that goes on without its kernel, live in its cell: the page's stream knows it.
import type { ISignal } from '@lumino/signaling';
import { PanelLayout, Widget } from '@lumino/widgets';
import { ReactWidget } from '@jupyterlab/ui-components';
import { createElement, useCallback, useMemo, useSyncExternalStore } from 'react';
import { previewsOfServer } from '../../widgets/src/server';
import type { Action } from '../../widgets/src/source';
import { Icon } from '../../widgets/src/views/Icon';
import { RunBody } from '../../widgets/src/views/RunView';
import { Guard } from './Guard';
import type { Hub } from './hub';

const BEHIND = 'agk-behind';
const openPreview = previewsOfServer();

/** What is needed of a cell's widget. */
export interface FollowingCell extends Widget {
  ready: Promise<void>;
  outputArea?: { widgets: readonly Widget[] };
}
interface Outputs {
  changed?: ISignal<unknown, unknown>;
}

/** Stands for the output at `index` until `holds` says that something else is there now, or is the whole of it. */
export function follow(cell: FollowingCell, outputs: Outputs, index: number, hub: Hub, run: string, holds: () => boolean): Widget {
  const view = ReactWidget.create(createElement(Guard, null, createElement(Following, { hub, run })));
  view.addClass('agk-cellhost');
  view.addClass('agk-following');
  view.node.dataset['lmSuppressShortcuts'] = 'true'; // those of the notebook are on plain letters and on Enter
  view.parent = cell; // until the cell is drawn it has a parent and no place
  const shows = (yes: boolean): void => void cell.outputArea?.widgets[index]?.node.classList.toggle(BEHIND, yes);
  const look = (): void => (holds() ? undefined : view.dispose());
  outputs.changed?.connect(look);
  view.disposed.connect(() => {
    outputs.changed?.disconnect(look);
    shows(false);
  });
  void cell.ready.then(() => {
    if (!view.isDisposed) {
      (cell.layout as PanelLayout).addWidget(view);
      shows(true);
    }
  });
  return view;
}

function Following({ hub, run }: { hub: Hub; run: string }) {
  const known = useSyncExternalStore(hub.subscribe, hub.snapshot);
  const row = hub.row(run);
  const fold = hub.fold(run);
  const send = useCallback((action: Action) => void hub.act(run, action), [hub, run]);
  const info = useMemo(() => ({ model: row?.model ?? '', agent: row?.agent ?? undefined, permission: row?.options.permission, tier: fold?.tier }), [row, fold?.tier]);
  if (!fold) {
    return null;
  }
  return (
    <RunBody run={fold} info={info} send={send} notice={known.online ? known.notice : 'The Jupyter server is away. The run goes on there, and this catches up by itself.'} open={openPreview}>
      <p className="agk-note agk-goes-on">
        <Icon name="replay" /> The run goes on at the server. The view that its kernel drew is gone: it is followed here.
      </p>
    </RunBody>
  );
}
