// Where people write: a prompt, a word to a run at work, a command; with files by @, by dropping and by pasting.
import { ClipboardEvent, DragEvent, KeyboardEvent, memo, useEffect, useMemo, useRef, useState } from 'react';
import { flushSync } from 'react-dom';
import { Icon } from '../../widgets/src/views/Icon';
import { visible } from '../../widgets/src/views/plain';
import type { Named } from './api';
import { Choice, useChoices } from './choices';
import { Completion, completionAt, mention } from './commands';
import { Typed } from './history';
import type { Host } from './host';

interface Props {
  host: Host;
  /** Jupyter's path of the workspace that `@` names files of; null when Jupyter does not show it. */
  folder: string | null;
  label: string;
  /** Skills that can be named by `@`, too; variables are the host's. */
  skills: () => Promise<Named[]>;
  /** Resolves to whether the text was taken; else it stays. */
  submit: (text: string) => Promise<boolean>;
  say: (problem: unknown) => void;
  children?: React.ReactNode;
}

const DRAFT = 'agent-kernel:draft';

export const Composer = memo(function Composer({ host, folder, label, skills, submit, say, children }: Props) {
  const [text, setText] = useState(() => sessionStorage.getItem(DRAFT) ?? '');
  const [busy, setBusy] = useState('');
  const [over, setOver] = useState(false);
  const [completion, setCompletion] = useState<Completion | null>(null);
  const [chosen, setChosen] = useState(0);
  const box = useRef<HTMLTextAreaElement>(null);
  const typed = useMemo(() => new Typed(localStorage), []);
  const { choices, note } = useChoices(host, folder, completion, skills);

  useEffect(() => {
    sessionStorage.setItem(DRAFT, text);
  }, [text]);

  const write = (next: string, caret = next.length): void => {
    flushSync(() => setText(next)); // what is typed next belongs behind the caret
    box.current?.focus();
    box.current?.setSelectionRange(caret, caret);
  };

  const send = async (): Promise<void> => {
    const said = text.trim();
    if (!said || busy) {
      return;
    }
    setBusy('Sending …');
    setCompletion(null);
    const taken = await submit(said).catch(error => (say(error), false));
    setBusy('');
    if (taken) {
      typed.add(said);
      setText(now => (now.trim() === said ? '' : now));
    }
    box.current?.focus();
  };

  const take = (choice: Choice): void => {
    if (completion && box.current) {
      const caret = box.current.selectionStart;
      const inserted = choice.insert + (choice.goes ? '' : ' ');
      const next = text.slice(0, completion.from) + inserted + text.slice(caret).replace(/^ /, '');
      write(next, completion.from + inserted.length);
      setCompletion(choice.goes ? completionAt(next, completion.from + inserted.length) : null);
      setChosen(0);
    }
  };

  const onKey = (event: KeyboardEvent<HTMLTextAreaElement>): void => {
    event.stopPropagation(); // JupyterLab has shortcuts on plain letters
    if (event.nativeEvent.isComposing) {
      return;
    }
    if (choices.length && pick(event)) {
      event.preventDefault();
    } else if (event.key === 'Enter' && !event.shiftKey) {
      event.preventDefault();
      void send();
    } else if (event.key === 'ArrowUp' || event.key === 'ArrowDown') {
      recall(event);
    }
  };

  /** Arrow keys walk through what is offered, Tab and Enter take it, Escape takes it away. */
  const pick = (event: KeyboardEvent): boolean => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      setChosen((chosen + step + choices.length) % choices.length);
      return true;
    }
    const choice = choices[Math.min(chosen, choices.length - 1)]!;
    const whole = completion?.kind === 'command' && choice.insert === text.trim();
    if (event.key === 'Tab' || (event.key === 'Enter' && !event.shiftKey && !whole)) {
      take(choice);
      return true;
    }
    if (event.key === 'Escape') {
      setCompletion(null);
      return true;
    }
    return false;
  };

  const recall = (event: KeyboardEvent<HTMLTextAreaElement>): void => {
    const { selectionStart, value } = event.currentTarget;
    const up = event.key === 'ArrowUp';
    const atEdge = up ? !value.slice(0, selectionStart).includes('\n') : !value.slice(selectionStart).includes('\n');
    const earlier = atEdge ? typed.step(up ? 1 : -1, text) : null;
    if (earlier !== null) {
      event.preventDefault();
      write(earlier);
    }
  };

  const attach = async (files: File[]): Promise<void> => {
    if (!files.length) {
      return;
    }
    if (folder === null) {
      say(new Error("Files cannot be added here: the run's folder lies outside of what Jupyter shows."));
      return;
    }
    const names: string[] = [];
    for (const file of files) {
      setBusy(`Uploading ${visible(file.name)} …`);
      try {
        names.push(mention(await host.upload(folder, file)));
      } catch (error) {
        say(error);
      }
    }
    setBusy('');
    if (names.length) {
      write([box.current?.value.trimEnd() ?? '', ...names].filter(Boolean).join(' ') + ' ');
    }
  };

  const onDrop = (event: DragEvent): void => {
    event.preventDefault();
    event.stopPropagation();
    setOver(false);
    void attach([...event.dataTransfer.files]);
  };

  const onPaste = (event: ClipboardEvent): void => {
    const files = [...event.clipboardData.files];
    if (files.length) {
      event.preventDefault();
      void attach(files);
    }
  };

  const listed = choices.length > 0;
  return (
    <form
      className={over ? 'agk-composer agk-over' : 'agk-composer'}
      onSubmit={event => {
        event.preventDefault();
        void send();
      }}
      onDragOver={event => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={onDrop}
    >
      {(listed || note) && (
        <div className="agk-choices">
        {listed && <ul role="listbox" id="agk-choices" aria-label="Completions">
          {choices.map((choice, place) => (
            <li
              key={choice.insert}
              id={`agk-choice-${place}`}
              role="option"
              aria-selected={place === chosen}
              onPointerDown={event => {
                event.preventDefault();
                take(choice);
              }}
            >
              <code>{visible(choice.name)}</code> <span className="agk-dim">{choice.about}</span>
            </li>
          ))}
        </ul>}
        {note && <p className="agk-dim" role="status">{visible(note)}</p>}
        </div>
      )}
      <div className="agk-write">
        <textarea
          ref={box}
          rows={1}
          value={text}
          placeholder={label}
          aria-label={label}
          role="combobox"
          aria-autocomplete="list"
          aria-expanded={listed}
          aria-controls="agk-choices"
          aria-activedescendant={listed ? `agk-choice-${chosen}` : undefined}
          onChange={event => {
            setText(event.target.value);
            typed.reset();
            setCompletion(completionAt(event.target.value, event.target.selectionStart));
            setChosen(0);
          }}
          onBlur={() => setCompletion(null)}
          onKeyDown={onKey}
          onPaste={onPaste}
        />
        <button type="submit" className="agk-primary" disabled={!text.trim() || !!busy} aria-label="Send" title="Send (Enter)">
          <Icon name="send" />
        </button>
      </div>
      <div className="agk-options">
        {children}
        <span className="agk-space" />
        {busy && (
          <span className="agk-dim" role="status">
            {busy}
          </span>
        )}
        <label className="agk-attach" title="Add files to the workspace">
          <Icon name="clip" />
          <span className="agk-hidden">Add files</span>
          <input
            type="file"
            multiple
            className="agk-hidden"
            onChange={event => {
              void attach([...(event.target.files ?? [])]);
              event.target.value = '';
            }}
          />
        </label>
      </div>
      {over && <div className="agk-drop">Drop files to add them to the workspace</div>}
    </form>
  );
});
