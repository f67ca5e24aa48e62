// Text of strangers: Markdown, code and terminal output, never anything that runs.
import DOMPurify from 'dompurify';
import hljs from 'highlight.js/lib/core';
import bash from 'highlight.js/lib/languages/bash';
import javascript from 'highlight.js/lib/languages/javascript';
import json from 'highlight.js/lib/languages/json';
import markdownLanguage from 'highlight.js/lib/languages/markdown';
import python from 'highlight.js/lib/languages/python';
import sql from 'highlight.js/lib/languages/sql';
import yaml from 'highlight.js/lib/languages/yaml';
import katex from 'katex';
import MarkdownIt from 'markdown-it';
import { memo, useLayoutEffect, useMemo, useRef } from 'react';
import { shortened, visible } from './plain';

const LANGUAGES = { bash, javascript, json, markdown: markdownLanguage, python, sql, yaml };
Object.entries(LANGUAGES).forEach(([name, language]) => hljs.registerLanguage(name, language));
hljs.registerAliases(['sh', 'shell'], { languageName: 'bash' });
hljs.registerAliases(['js', 'ts', 'typescript', 'jsx', 'tsx'], { languageName: 'javascript' });
hljs.registerAliases(['py'], { languageName: 'python' });

const MOST_HIGHLIGHTED = 20_000;

/** A line by itself, as in a diff. */
export function Line({ text, language }: { text: string; language: string }) {
  return language && text.length < MOST_LINE ? <span dangerouslySetInnerHTML={{ __html: highlighted(text, language) }} /> : <>{text}</>;
}

const MOST_LINE = 400;

function highlighted(code: string, language: string): string {
  if (code.length > MOST_HIGHLIGHTED || !hljs.getLanguage(language)) {
    return escapeHtml(code);
  }
  return hljs.highlight(code, { language, ignoreIllegals: true }).value;
}

function escapeHtml(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;');
}

const FROM_RIGHT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/;
const parser = new MarkdownIt({ html: false, linkify: true, highlight: highlighted });
parser.renderer.rules['image'] = (tokens, index) => {
  const token = tokens[index];
  const source = String(token?.attrGet('src') ?? '');
  // A picture from elsewhere would tell a stranger who looks.
  return /^data:image\/(png|jpeg|gif|webp);base64,/.test(source)
    ? `<img src="${escapeHtml(source)}" alt="${escapeHtml(token?.content ?? '')}">`
    : `[image: ${escapeHtml(token?.content ?? '')}]`;
};
// Wide tables and code scroll by themselves, by keys too; words of a table stay whole.
for (const rule of ['fence', 'code_block']) {
  const drawn = parser.renderer.rules[rule]!;
  parser.renderer.rules[rule] = (...args) => drawn(...args).replace(/^<pre/, '<pre tabindex="0"');
}
parser.renderer.rules['table_open'] = () => '<div class="agk-wide" tabindex="0"><table>';
parser.renderer.rules['table_close'] = () => '</table></div>';
parser.inline.ruler.before('escape', 'maths', (state, silent) => {
  const found = /^(\$\$([^$]+?)\$\$|\$(?!\s)([^$\n]+?)(?<!\s)\$(?!\d))/.exec(state.src.slice(state.pos));
  if (!found) {
    return false;
  }
  if (!silent) {
    const token = state.push('maths', 'math', 0);
    token.content = found[2] ?? found[3] ?? '';
    token.block = found[2] !== undefined;
  }
  state.pos += found[0].length;
  return true;
});
parser.renderer.rules['maths'] = (tokens, index) => {
  const token = tokens[index];
  const options = { output: 'mathml', throwOnError: false, trust: false, maxExpand: 200, displayMode: !!token?.block } as const;
  return katex.renderToString((token?.content ?? '').slice(0, 2_000), options);
};

// Hebrew or Arabic runs from the right, block by block; a block within another follows it.
parser.core.ruler.push('direction', ({ src, tokens }) => {
  if (FROM_RIGHT.test(src)) {
    tokens.filter(token => token.nesting === 1 && (token.level === 0 || /^t[dh]_open$/.test(token.type))).forEach(token => token.attrSet('dir', 'auto'));
  }
});

const POLICY = {
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:|data:image\/(?:png|jpeg|gif|webp);base64,)/i,
  FORBID_TAGS: ['style', 'form', 'input', 'button', 'textarea', 'select', 'iframe', 'video', 'audio', 'svg', 'dialog'],
  FORBID_ATTR: ['style', 'id', 'name', 'srcset'],
  ADD_URI_SAFE_ATTR: ['tabindex', 'dir'],
  ALLOW_DATA_ATTR: false
};
const TABLES = { ALLOWED_TAGS: ['table', 'thead', 'tbody', 'tfoot', 'tr', 'th', 'td'], ALLOWED_ATTR: ['colspan', 'rowspan'] };

DOMPurify.addHook('afterSanitizeAttributes', node => {
  if (node.tagName === 'A') {
    node.setAttribute('target', '_blank');
    node.setAttribute('rel', 'noopener noreferrer nofollow');
  }
});

export const Markdown = memo(function Markdown({ text }: { text: string }) {
  const html = useMemo(() => DOMPurify.sanitize(parser.render(visible(text)), POLICY), [text]);
  return <div className="agk-markdown" dangerouslySetInnerHTML={{ __html: html }} />;
});

/** The tables of an HTML text, and nothing else of it. */
export const Tables = memo(function Tables({ html }: { html: string }) {
  const clean = useMemo(() => DOMPurify.sanitize(html.replace(/<style[\s\S]*?<\/style>/gi, ''), TABLES), [html]);
  return <div className="agk-table" tabIndex={0} dangerouslySetInnerHTML={{ __html: clean }} />;
});

export const Code = memo(function Code({ text, language }: { text: string; language: string }) {
  const html = useMemo(() => highlighted(visible(text), language), [text, language]);
  return (
    <pre className="agk-code" tabIndex={0}>
      <code dangerouslySetInnerHTML={{ __html: html }} />
    </pre>
  );
});

const NEAR_END = 40;

// eslint-disable-next-line no-control-regex
const ESCAPES = /\u001b\[([0-9;]*)m|\u001b\[[0-?]*[ -/]*[@-~]|\u001b[\]PX^_][\s\S]*?(?:\u001b\\|\u0007|$)|\u001b./g;

/** Terminal output: its colours, and no other escape. While it is `live` its end stays in sight, until a reader moves up. */
export const Terminal = memo(function Terminal({ text, error, live = false }: { text: string; error?: boolean; live?: boolean }) {
  const parts = useMemo(() => coloured(shortened(text)), [text]);
  const box = useRef<HTMLPreElement>(null);
  const follows = useRef(true);
  useLayoutEffect(() => {
    if (live && follows.current && box.current) {
      box.current.scrollTop = box.current.scrollHeight;
    }
  }, [live, parts]);
  const onScroll = (): void => {
    const { scrollHeight = 0, scrollTop = 0, clientHeight = 0 } = box.current ?? {};
    follows.current = scrollHeight - scrollTop - clientHeight < NEAR_END;
  };
  return (
    <pre className={error ? 'agk-terminal agk-bad' : 'agk-terminal'} tabIndex={0} ref={box} onScroll={onScroll}>
      {parts.map(({ text: part, className }, index) =>
        className ? (
          <span key={index} className={className}>
            {part}
          </span>
        ) : (
          part
        )
      )}
    </pre>
  );
});

function coloured(text: string): Array<{ text: string; className: string }> {
  const parts: Array<{ text: string; className: string }> = [];
  let className = '';
  let from = 0;
  for (const found of text.matchAll(ESCAPES)) {
    push(parts, text.slice(from, found.index), className);
    from = (found.index ?? 0) + found[0].length;
    if (found[1] !== undefined) {
      className = styleOf(found[1], className);
    }
  }
  push(parts, text.slice(from), className);
  return parts;
}

function push(parts: Array<{ text: string; className: string }>, text: string, className: string): void {
  if (text) {
    parts.push({ text: visible(overwritten(text)), className });
  }
}

/** A carriage return writes over its line, as on a terminal. */
function overwritten(text: string): string {
  return text.replace(/\r\n/g, '\n').replace(/^.*\r(?!$)/gm, '').replace(/\r/g, '');
}

function styleOf(codes: string, before: string): string {
  let style = before;
  for (const code of codes.split(';').map(Number)) {
    if (code === 0) {
      style = '';
    } else if (code === 1) {
      style = `${style} agk-bold`;
    } else if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) {
      style = `${style.replace(/ ?agk-ansi-\d/g, '')} agk-ansi-${code % 10}`;
    }
  }
  return style.trim();
}
