// What the agents are doing, in the status bar.
import { useSyncExternalStore } from 'react';
import type { Hub } from './hub';

export function StatusItem({ hub, open }: { hub: Hub; open: () => void }) {
  const { working, waiting, online } = useSyncExternalStore(hub.subscribe, hub.snapshot);
  const parts = [working ? `${working} working` : '', waiting ? `${waiting} ${waiting === 1 ? 'needs' : 'need'} you` : '', online ? '' : 'offline'];
  const said = parts.filter(Boolean).join(' · ') || 'idle';
  return (
    <button type="button" className={waiting ? 'agk-item agk-urgent' : 'agk-item'} title="Open the agent panel" onClick={open}>
      Agent: {said}
    </button>
  );
}
