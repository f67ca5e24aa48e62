// One tool call: what it is about in a line, the rest on demand; pictures are seen at once.
import { memo, useState } from 'react';
import type { ToolResultEvent } from '../events';
import type { Call } from '../run';
import type { Action } from '../source';
import { Diff, Unified } from './Diff';
import { Icon } from './Icon';
import { oneLine, unmarked, visible } from './plain';
import { languageOf, rowsBetween } from './rows';
import { Code, Tables, Terminal } from './text';

const CODE: Record<string, [string, string]> = {
  python: ['code', 'python'],
  notebook_python: ['code', 'python'],
  bash: ['command', 'bash']
};

export const ToolCard = memo(function ToolCard({ call, send, ended }: { call: Call; send: (action: Action) => void; ended: boolean }) {
  const running = call.state === 'running' || call.state === 'pending';
  const [opened, setOpened] = useState<boolean | null>(null);
  const [field, language] = CODE[call.event.tool] ?? ['', ''];
  const open = opened ?? ((running && !(call.asked && field)) || call.state === 'error'); // code is read where it is asked about
  const state = call.asked ? 'waits for your answer' : STATES[call.state];
  const code = field ? String(call.event.args[field] ?? '') : '';
  const undo = (): void => send({ kind: 'undo', call_id: call.event.id });
  return (
    <article className={`agk-card agk-is-${call.state}`} aria-label={`${call.event.tool}, ${state}`}>
      <button type="button" className="agk-summary" aria-expanded={open} onClick={() => setOpened(!open)}>
        <Icon name={call.event.tool} />
        <span className="agk-tool">{visible(call.event.tool)}</span>
        <code className="agk-title">{titleOf(call, code)}</code>
        <span className="agk-space" />
        <Facts call={call} />
        <span className={`agk-state agk-state-${call.state}`}>
          {call.asked ? '?' : running ? <span className="agk-spinner" aria-hidden="true" /> : MARKS[call.state]}
          <span className="agk-hidden">{state}</span>
        </span>
      </button>
      {open && (
        <div className="agk-body">
          {code ? <Code text={code} language={language} /> : <Input call={call} />}
          {!call.result && call.output && <Terminal text={call.output} live />}
          {call.result && <Result result={call.result} />}
        </div>
      )}
      {call.result && <Pictures result={call.result} />}
      {call.changes.map(change => (
        <Diff
          key={change.path}
          change={change}
          onUndo={ended && change.before ? () => send({ kind: 'undo', call_id: call.event.id, path: change.path }) : null}
        />
      ))}
      {ended && call.changes.length > 1 && (
        <button type="button" className="agk-quiet" onClick={undo}>
          Undo all {call.changes.length} files of this step
        </button>
      )}
    </article>
  );
});

const STATES = { pending: 'waiting', running: 'running', done: 'done', error: 'failed', denied: 'denied' };
const MARKS = { pending: '', running: '', done: '✓', error: '✗', denied: '⊘' };

function titleOf(call: Call, code: string): string {
  if (code) {
    const lines = code.split('\n').map(line => line.trim()).filter(Boolean);
    if (lines[0]?.startsWith('# ')) {
      return oneLine(lines[0].slice(2), 110); // its author says it
    }
    const telling = lines.find(line => !/^(import |from |#)/.test(line));
    return oneLine(telling ?? lines[0] ?? '', 110);
  }
  const onScreen = SCREENS[call.event.tool]?.(call.event.args as Record<string, string | undefined>);
  if (onScreen !== undefined) {
    return oneLine(onScreen, 110);
  }
  const { path, pattern, query, url, name, operations } = call.event.args as Record<string, unknown>;
  const about = String(path ?? pattern ?? query ?? url ?? (call.event.tool === 'skill' ? name : undefined) ?? '');
  return oneLine(Array.isArray(operations) ? `${about}: ${operations.map(doneToCell).join(', ')}` : about, 110);
}

// What a call on the browser or the desktop is about.
const SCREENS: Record<string, (args: Record<string, string | undefined>) => string> = {
  browser_extract: ({ selector }) => selector ?? '',
  browser_click: ({ selector }) => selector ?? '',
  browser_type: ({ selector, text }) => `${selector ?? ''} ← ${text ?? ''}`,
  browser_screenshot: ({ selector }) => selector ?? '',
  browser_wait_for: ({ selector, text, url, gone }) => `${selector ?? text ?? url ?? ''}${gone ? ' (gone)' : ''}`,
  desktop_screenshot: () => '',
  desktop_click: ({ x, y, button }) => `${x}, ${y}${button ? ` ${button}` : ''}`,
  desktop_type: ({ text }) => text ?? '',
  desktop_key: ({ keys }) => keys ?? '',
  desktop_scroll: ({ direction, x, y }) => `${direction} at ${x}, ${y}`
};

// One operation on a notebook in few words: `edit load`.
function doneToCell(operation: { op?: unknown; cell?: unknown } | null): string {
  return `${operation?.op ?? ''} ${operation?.cell ?? ''}`.trim();
}

function Facts({ call }: { call: Call }) {
  const { result } = call;
  const seconds = (result?.duration_ms ?? 0) / 1000;
  return (
    <>
      {result && result.truncated_bytes > 0 && <span className="agk-dim">cut</span>}
      {seconds >= 0.1 && <span className="agk-dim agk-number">{seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s</span>}
    </>
  );
}

/** Said in the card's title already, unless too long for it. */
const SHOWN = new Set(['url', 'query']);

/** What a file is to hold is read as it will stand there: somebody may be asked whether to allow it. */
const WRITTEN: Record<string, [string] | [string, string]> = { write_file: ['content'], edit_file: ['old_string', 'new_string'] };

function Written({ args, names }: { args: Record<string, unknown>; names: [string] | [string, string] }) {
  const language = languageOf(String(args['path'] ?? ''));
  const [first, second] = names.map(name => String(args[name] ?? ''));
  return second === undefined ? <Code text={first ?? ''} language={language} /> : <Unified rows={rowsBetween(first ?? '', second, language)} />;
}

function Input({ call }: { call: Call }) {
  if (call.event.tool in SCREENS || call.changes.length || call.event.tool === 'todo' || call.event.tool === 'skill') {
    return null;
  }
  const written = WRITTEN[call.event.tool];
  const args = Object.entries(call.event.args).filter(([name, value]) => name !== 'path' && !written?.includes(name) && !(SHOWN.has(name) && String(value).length <= 110));
  return (
    <>
      {written && <Written args={call.event.args} names={written} />}
      {args.length > 0 && <Code text={JSON.stringify(Object.fromEntries(args), null, 1)} language="json" />}
    </>
  );
}

function Result({ result }: { result: ToolResultEvent }) {
  const told = new Map(result.outputs.map(output => [output.block, output]));
  return (
    <>
      {result.content.map((block, index) => {
        const output = told.get(index);
        const html = output?.data['text/html'];
        if (html) {
          return <Tables key={index} html={html} />;
        }
        const bad = output?.kind === 'error' || output?.kind === 'stderr' || (!output && result.is_error);
        return block['type'] === 'text' && !output?.data['image/svg+xml'] ? (
          <Terminal key={index} text={result.foreign ? unmarked(String(block['text'])) : String(block['text'])} error={bad} />
        ) : null;
      })}
      {result.foreign && <p className="agk-dim">Text from outside: {oneLine(result.foreign, 200)}. The agent takes it as data.</p>}
      {result.truncated_bytes > 0 && (
        <p className="agk-dim">
          {result.truncated_bytes.toLocaleString('en')} bytes were left out for the model
          {result.output_path ? `; the whole is in ${visible(result.output_path)}` : ''}.
        </p>
      )}
    </>
  );
}

const RASTER = new Set(['image/png', 'image/jpeg', 'image/gif', 'image/webp']);

function Pictures({ result }: { result: ToolResultEvent }) {
  const svgs = result.outputs.map(output => output.data['image/svg+xml']).filter((svg): svg is string => !!svg);
  return (
    <>
      {result.content.map((block, index) => {
        const source = block['source'] as { media_type?: string; data?: string } | undefined;
        return block['type'] === 'image' && source?.media_type && RASTER.has(source.media_type) ? (
          <img key={index} className="agk-picture" alt="Output of this step" src={`data:${source.media_type};base64,${source.data}`} />
        ) : null;
      })}
      {svgs.map((svg, index) => (
        // An image runs no script and loads nothing, whatever the SVG says.
        <img key={`s${index}`} className="agk-picture" alt="Output of this step" src={`data:image/svg+xml;utf8,${encodeURIComponent(svg)}`} />
      ))}
    </>
  );
}
