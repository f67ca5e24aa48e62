// To go on from some step of a run, in a conversation of its own.
import { FormEvent, useState } from 'react';
import type { RunRow } from './api';
import type { Hub } from './hub';

interface Props {
  hub: Hub;
  row: RunRow;
  /** The last event that is kept. */
  seq: number;
  /** That step, in words. */
  after: string;
  close: () => void;
}

export function Fork({ hub, row, seq, after, close }: Props) {
  const [prompt, setPrompt] = useState('');
  const [restore, setRestore] = useState(false);
  const [busy, setBusy] = useState(false);
  const submit = async (event: FormEvent): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    await hub.fork(row.id, seq, prompt, restore).then(close, hub.say);
    setBusy(false);
  };
  return (
    <form className="agk-fork" aria-label="Fork" onSubmit={event => void submit(event)}>
      <textarea rows={2} value={prompt} autoFocus aria-label="What to do instead" placeholder={`What to do after ${after}. Empty: what it would have done.`} onChange={event => setPrompt(event.target.value)} />
      <label>
        <input type="checkbox" checked={restore} onChange={event => setRestore(event.target.checked)} /> Put the files back to how they were then
      </label>
      <div className="agk-buttons">
        <button type="submit" className="agk-primary" disabled={busy}>
          Go on from here
        </button>
        <button type="button" onClick={close}>
          Cancel
        </button>
        <span className="agk-dim">This run stays as it is.</span>
      </div>
    </form>
  );
}
