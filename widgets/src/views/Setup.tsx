// How the model is reached: one friendly card for whoever comes first, and the place to change it later.
import { FormEvent, KeyboardEvent, useEffect, useId, useRef, useState } from 'react';
import type { ModelDoor, ModelKnown, ModelSetup } from '../source';
import { Icon } from './Icon';
import { visible } from './plain';

interface Props {
  door: ModelDoor;
  known: ModelKnown;
  changed: (known: ModelKnown) => void;
  /** What happens once it is set up. */
  then?: string;
  /** Present where the card can be put away. */
  close?: () => void;
}

type Said = { good: boolean; text: string } | null;

export function Setup({ door, known, changed, then = '', close }: Props) {
  const [editing, setEditing] = useState(known.by === '');
  const [busy, setBusy] = useState('');
  const [said, setSaid] = useState<Said>(null);
  const card = useRef<HTMLElement>(null);
  useEffect(() => setEditing(known.by === ''), [known.by]);

  const attempt = async (doing: string, work: () => Promise<Said>): Promise<void> => {
    setBusy(doing);
    setSaid(null);
    try {
      setSaid(await work());
    } catch (error) {
      setSaid({ good: false, text: sentenceOf(error) });
    } finally {
      setBusy('');
    }
  };
  const tried = async (setup: ModelSetup): Promise<Said> => {
    const answer = await door.test(setup);
    return { good: answer.ok, text: answer.ok ? `${answer.model} answers.` : [answer.message, answer.hint].filter(Boolean).join(' ') };
  };
  const save = (setup: ModelSetup): Promise<void> =>
    attempt('Asking the model …', async () => {
      const answer = await tried(setup);
      if (answer?.good) {
        changed(await door.put(setup));
      }
      return answer;
    });
  const onKeyDown = (event: KeyboardEvent): void => {
    event.stopPropagation(); // JupyterLab has shortcuts on plain letters
    if (event.key === 'Escape' && close) {
      close();
    }
  };
  return (
    <section className="agk-setup" aria-label="How the model is reached" ref={card} onKeyDown={onKeyDown}>
      <header>
        <Icon name="shield" />
        <h4>{known.by ? 'Your model' : 'Set up a model'}</h4>
        <span className="agk-space" />
        {close && (
          <button type="button" className="agk-quiet" aria-label="Close" onClick={close}>
            <Icon name="close" />
          </button>
        )}
      </header>
      {known.by === 'server' && <p>This server’s own settings name the model: {named(known)}. What you set up here would not be used.</p>}
      {known.by === 'you' && !editing && <p>Runs of yours ask {named(known)}.{known.key && ' The key is kept encrypted, outside of your notebooks, and is not shown again.'}</p>}
      {known.by === '' && <p>The agent thinks with a language model. Paste a key, or try what it does without one first. {then}</p>}
      {editing && known.by !== 'server' ? (
        <Form known={known} busy={!!busy} save={save} />
      ) : (
        <div className="agk-buttons">
          <button type="button" disabled={!!busy} onClick={() => void attempt('Asking the model …', () => tried({}))}>
            Test
          </button>
          {known.by === 'you' && (
            <>
              <button type="button" onClick={() => setEditing(true)}>
                Change
              </button>
              <button type="button" className="agk-stop" disabled={!!busy} onClick={() => void attempt('Forgetting …', async () => (changed(await door.forget()), null))}>
                Forget
              </button>
            </>
          )}
        </div>
      )}
      {(busy || said) && (
        <p className={said && !said.good ? 'agk-error' : 'agk-dim'} role="status">
          {visible(busy || said?.text || '')}
        </p>
      )}
    </section>
  );
}

function Form({ known, busy, save }: { known: ModelKnown; busy: boolean; save: (setup: ModelSetup) => Promise<void> }) {
  const [key, setKey] = useState('');
  const [elsewhere, setElsewhere] = useState(!!known.base_url);
  const [endpoint, setEndpoint] = useState(known.base_url);
  const [model, setModel] = useState(known.by === 'you' && !known.demo ? known.model : '');
  const id = useId();
  const ready = elsewhere ? !!endpoint.trim() : !!key.trim();
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    const setup = { api_key: key.trim(), base_url: elsewhere ? endpoint.trim() : '', ...(model.trim() ? { model: model.trim() } : {}) };
    void save(setup);
  };
  return (
    <form onSubmit={submit} autoComplete="off">
      <label htmlFor={`${id}-key`}>{elsewhere ? 'Key, where it asks for one' : 'Key of the Anthropic API'}</label>
      <input id={`${id}-key`} type="password" value={key} placeholder="sk-ant-…" spellCheck={false} autoComplete="off" onChange={event => setKey(event.target.value)} />
      {elsewhere && (
        <>
          <label htmlFor={`${id}-endpoint`}>Endpoint that speaks the Messages API</label>
          <input id={`${id}-endpoint`} type="url" value={endpoint} placeholder="https://models.example.org" spellCheck={false} onChange={event => setEndpoint(event.target.value)} />
          <label htmlFor={`${id}-model`}>Name of the model</label>
          <input id={`${id}-model`} value={model} placeholder={known.model} spellCheck={false} onChange={event => setModel(event.target.value)} />
        </>
      )}
      <div className="agk-buttons">
        <button type="submit" className="agk-primary" disabled={busy || !ready}>
          Test and keep
        </button>
        <button type="button" disabled={busy} title="Works offline and costs nothing. It is a script, no AI." onClick={() => void save({ model: 'demo' })}>
          Try the offline demo
        </button>
      </div>
      <button type="button" className="agk-quiet agk-more" aria-expanded={elsewhere} onClick={() => setElsewhere(!elsewhere)}>
        {elsewhere ? 'Use Anthropic itself' : 'Use another endpoint'}
      </button>
    </form>
  );
}

function sentenceOf(error: unknown): string {
  const { sentence, message } = error as { sentence?: string; message?: string };
  return sentence ?? message ?? String(error);
}

function named(known: ModelKnown): string {
  return known.demo ? 'the offline demo (a script, no AI)' : `${visible(known.model)}${known.base_url ? ` at ${visible(known.base_url)}` : ''}`;
}
