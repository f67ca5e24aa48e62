// What the model's provider did by itself within an answer (a search, say), and what an answer cites.
import { memo } from 'react';
import { Icon } from './Icon';
import { oneLine, visible } from './plain';
import { Code } from './text';

type Block = Record<string, unknown>;
interface Link {
  url: string;
  title: string;
  date: string;
}

export const ServerTool = memo(function ServerTool({ blocks }: { blocks: Block[] }) {
  return (
    <>
      {blocks.map((block, index) => (
        <One key={index} block={block} />
      ))}
    </>
  );
});

function One({ block }: { block: Block }) {
  const type = String(block['type']);
  if (type === 'server_tool_use') {
    const input = (block['input'] ?? {}) as Block;
    const { query, url } = input;
    return (
      <div className="agk-summary agk-server">
        <Icon name={String(block['name'])} />
        <span className="agk-tool">{visible(String(block['name']))}</span>
        <code className="agk-title">{oneLine(String(query ?? url ?? JSON.stringify(input)), 110)}</code>
        <span className="agk-space" />
        <span className="agk-dim">by the provider</span>
      </div>
    );
  }
  if (!type.endsWith('_tool_result')) {
    return <p className="agk-note">{oneLine(JSON.stringify(block), 300)}</p>;
  }
  const links = linksOf(block['content']);
  if (!links.length) {
    return <Code text={JSON.stringify(block['content'], null, 1).slice(0, 2_000)} language="json" />;
  }
  return (
    <details className="agk-found">
      <summary>
        {links.length} {links.length === 1 ? 'result' : 'results'}: {oneLine(links.map(link => link.title || hostOf(link.url)).join(' · '), 110)}
      </summary>
      <ol>
        {links.map((link, index) => (
          <li key={index}>
            <Outside link={link} /> <span className="agk-dim">{oneLine(`${hostOf(link.url)} ${link.date}`, 90)}</span>
          </li>
        ))}
      </ol>
    </details>
  );
}

/** The pages an answer rests on, each once. */
export const Sources = memo(function Sources({ content }: { content: Block[] | null }) {
  const links = (content ?? []).flatMap(block => linksOf(block['citations']));
  const first = links.filter((link, index) => links.findIndex(other => other.url === link.url) === index);
  return first.length ? (
    <p className="agk-dim agk-sources">
      Sources:{' '}
      {first.map((link, index) => (
        <span key={link.url}>
          {index > 0 && ' · '}
          <Outside link={link} />
        </span>
      ))}
    </p>
  ) : null;
});

function Outside({ link }: { link: Link }) {
  return (
    <a href={link.url} title={visible(link.url)} target="_blank" rel="noopener noreferrer nofollow">
      {oneLine(link.title || hostOf(link.url), 90)}
    </a>
  );
}

function linksOf(value: unknown): Link[] {
  const items = Array.isArray(value) ? (value as unknown[]) : [];
  return items.flatMap(item => {
    const { url, title, page_age: date } = (item ?? {}) as Block;
    return typeof url === 'string' && /^https?:\/\//.test(url) ? [{ url, title: String(title ?? ''), date: String(date ?? '') }] : [];
  });
}

function hostOf(url: string): string {
  try {
    return new URL(url).host;
  } catch {
    return url;
  }
}
