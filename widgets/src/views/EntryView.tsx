// One entry of the timeline, behind an error boundary of its own.
import { Component, ReactNode, memo, useState } from 'react';
import type { Entry } from '../run';
import type { Action } from '../source';
import { Approval } from './Approval';
import { Icon } from './Icon';
import { ServerTool, Sources } from './ServerTool';
import { ToolCard } from './ToolCard';
import { oneLine, parted, visible } from './plain';
import { Code, Markdown } from './text';

interface Props {
  entry: Entry;
  send: (action: Action) => void;
  ended: boolean;
  /** Go on from behind this event; left out where nobody can. */
  fork?: ((seq: number) => void) | undefined;
  /** It is being gone on from here. */
  chosen?: boolean;
}

export const EntryView = memo(function EntryView({ fork, chosen, ...props }: Props) {
  const seq = fork ? lastOf(props.entry) : 0;
  const shown = (
    <Boundary>
      <Shown {...props} />
    </Boundary>
  );
  return fork && seq ? (
    <div className={chosen ? 'agk-from agk-chosen' : 'agk-from'}>
      {shown}
      <button type="button" className="agk-here" aria-pressed={!!chosen} aria-label="Fork from here" title="Fork from here: go on from this step, in a conversation of its own" onClick={() => fork(seq)}>
        <Icon name="fork" />
      </button>
    </div>
  ) : (
    shown
  );
});

/** The last event of a step that can be gone on from; 0 for what is none. */
export function lastOf(entry: Entry): number {
  if (entry.kind === 'message') {
    return entry.event.text ? entry.event.seq : 0;
  }
  return entry.kind === 'call' && entry.event.tool !== 'todo' ? (entry.result?.seq ?? 0) : 0;
}

/** A card that cannot be shown takes nothing else with it. */
class Boundary extends Component<{ children: ReactNode }, { problem: string }> {
  state = { problem: '' };
  static getDerivedStateFromError(error: unknown) {
    return { problem: String(error) };
  }
  render(): ReactNode {
    return this.state.problem ? <p className="agk-error">This step cannot be shown: {this.state.problem}</p> : this.props.children;
  }
}

function Shown({ entry, send, ended }: Pick<Props, 'entry' | 'send' | 'ended'>) {
  switch (entry.kind) {
    case 'call':
      return entry.event.tool === 'todo' ? null : <ToolCard call={entry} send={send} ended={ended} />;
    case 'approval':
      return <Approval asked={entry} send={send} ended={ended} />;
    case 'message':
      return entry.event.role === 'user' ? (
        <Said text={entry.event.text} />
      ) : entry.event.text ? (
        <div className="agk-message">
          <Markdown text={entry.event.text} />
          <Sources content={entry.event.content ?? null} />
          {entry.event.partial && <p className="agk-dim">(stopped here)</p>}
        </div>
      ) : entry.event.content ? (
        <ServerTool blocks={entry.event.content} />
      ) : null;
    case 'thought':
      return entry.event.text.trim() ? <Thought text={entry.event.text} live={false} /> : null;
    case 'live':
      return <Live of={entry.of} text={entry.text} tool={entry.tool} />;
    case 'error':
      return (
        <p className={entry.event.retrying ? 'agk-error agk-retrying' : 'agk-error'} role="alert">
          <Icon name="warning" />
          <span>
            {visible(entry.event.message)} {visible(entry.event.hint)}
            {entry.event.retrying && ` Trying again in ${Math.max(1, Math.round(entry.event.delay_ms / 1000))} s (attempt ${entry.event.attempt}).`}
          </span>
        </p>
      );
    case 'note':
      return <p className="agk-note">{visible(entry.text)}</p>;
    case 'unknown':
      return <p className="agk-note">{oneLine(JSON.stringify(entry.event), 300)}</p>;
  }
}

/** What a person wrote; what the agent was told of the things it names can be opened. */
function Said({ text }: { text: string }) {
  const { typed, names, below } = parted(text);
  return (
    <blockquote className="agk-user">
      {visible(typed)}
      {below && (
        <details>
          <summary>With {oneLine(names.join(', '), 60)}</summary>
          {visible(below)}
        </details>
      )}
    </blockquote>
  );
}

function Thought({ text, live }: { text: string; live: boolean }) {
  const [opened, setOpened] = useState<boolean | null>(null);
  const open = opened ?? live;
  return (
    <div className="agk-thought">
      <button type="button" className="agk-quiet" aria-expanded={open} onClick={() => setOpened(!open)}>
        <Icon name="thought" /> {open ? (live ? 'Thinking' : 'Thought') : oneLine(text, 110)}
      </button>
      {open && <div className="agk-thinking">{visible(text.trim())}</div>}
    </div>
  );
}

function Live({ of, text, tool }: { of: 'text' | 'thinking' | 'input'; text: string; tool: string }) {
  if (of === 'thinking') {
    return <Thought text={text} live />;
  }
  if (of === 'text') {
    return (
      <div className="agk-message agk-writing">
        <Markdown text={text} />
      </div>
    );
  }
  return (
    <article className="agk-card agk-is-pending" aria-label={`${tool}, being written`}>
      <div className="agk-summary">
        <Icon name={tool} />
        <span className="agk-tool">{visible(tool)}</span>
        <code className="agk-title">{oneLine(unescaped(text).slice(-200), 90)}</code>
        <span className="agk-space" />
        <span className="agk-spinner" aria-hidden="true" />
      </div>
      {text.length > 200 && <Code text={unescaped(text).slice(-1_500)} language="" />}
    </article>
  );
}

/** Tool input is JSON while it is written: line ends are easier to read as such. */
function unescaped(text: string): string {
  return text.replace(/^\{"\w+": "/, '').replace(/\\n/g, '\n').replace(/\\"/g, '"').replace(/\\t/g, '  ');
}
