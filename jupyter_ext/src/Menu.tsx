// A button with a few choices below it.
import { FocusEvent, KeyboardEvent, ReactNode, useEffect, useRef, useState } from 'react';

interface Props {
  label: string;
  icon: ReactNode;
  choices: Array<[string, () => void]>;
}

export function Menu({ label, icon, choices }: Props) {
  const [open, setOpen] = useState(false);
  const box = useRef<HTMLSpanElement>(null);
  useEffect(() => {
    if (open) {
      box.current?.querySelector<HTMLElement>('[role=menuitem]')?.focus();
    }
  }, [open]);
  const close = (): void => {
    setOpen(false);
    box.current?.querySelector('button')?.focus();
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const items = [...(box.current?.querySelectorAll<HTMLElement>('[role=menuitem]') ?? [])];
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (open && step) {
      event.preventDefault();
      items[(items.indexOf(document.activeElement as HTMLElement) + step + items.length) % items.length]?.focus();
    } else if (open && event.key === 'Escape') {
      close();
    }
  };
  const onBlur = (event: FocusEvent): void => {
    if (!box.current?.contains(event.relatedTarget)) {
      setOpen(false);
    }
  };
  return (
    <span className="agk-menu" ref={box} onKeyDown={onKeyDown} onBlur={onBlur}>
      <button type="button" className="agk-quiet" title={label} aria-label={label} aria-haspopup="menu" aria-expanded={open} onClick={() => setOpen(!open)}>
        {icon}
      </button>
      {open && (
        <span className="agk-dropped" role="menu" aria-label={label}>
          {choices.map(([name, choose]) => (
            <button key={name} type="button" role="menuitem" tabIndex={-1} className="agk-quiet" onClick={() => (close(), choose())}>
              {name}
            </button>
          ))}
        </span>
      )}
    </span>
  );
}
