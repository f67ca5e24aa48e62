// Tells somebody who looks elsewhere that a run needs them, or has ended.
import { FINAL } from '../../widgets/src/run';
import { oneLine, parted } from '../../widgets/src/views/plain';
import type { RunRow } from './api';
import type { Hub } from './hub';

const ENDS: Record<string, string> = { completed: 'The agent is done', failed: 'The agent failed' };

/** `wanted` is asked each time. Returns how to end it. */
export function tellOf(hub: Hub, wanted: () => boolean, show: (run: string) => void): () => void {
  let before = new Map<string, string>();
  return hub.subscribe(() => {
    const { runs } = hub.snapshot();
    const now = new Map(runs.map(row => [row.id, row.status]));
    if (document.hidden && wanted() && 'Notification' in window && Notification.permission === 'granted') {
      for (const row of runs) {
        const title = before.has(row.id) && before.get(row.id) !== row.status ? titleOf(row) : '';
        if (title) {
          const told = new Notification(title, { body: oneLine(parted(row.prompt).typed, 120), tag: row.id });
          told.onclick = () => {
            window.focus();
            show(row.id);
          };
        }
      }
    }
    before = now;
  });
}

function titleOf(row: RunRow): string {
  return row.status === 'waiting' ? 'The agent needs your approval' : FINAL.has(row.status) ? (ENDS[row.status] ?? '') : '';
}

/** Browsers want a gesture before they are asked. */
export function askToNotify(): void {
  if ('Notification' in window && Notification.permission === 'default') {
    void Notification.requestPermission();
  }
}
