// Runs as the list shows them: grouped by conversation, searched, with times and money in words.
import { FINAL } from '../../widgets/src/run';
import { money, promptTokens, short } from '../../widgets/src/window';
import type { RunRow, Session, UsedOn } from './api';
import { nameOf } from './paths';

export type Filter = 'all' | 'working' | 'waiting' | 'failed';

export interface Group {
  key: string;
  title: string;
  place: string;
  runs: RunRow[];
  single?: boolean;
}

const WANTED: Record<Filter, (row: RunRow) => boolean> = {
  all: () => true,
  working: row => !FINAL.has(row.status),
  waiting: row => row.status === 'waiting' || row.status === 'paused',
  failed: row => row.status === 'failed'
};

/** Conversations, the one with the newest run first. All words of `search` have to be found. */
export function grouped(runs: readonly RunRow[], sessions: ReadonlyMap<string, Session>, search: string, filter: Filter): Group[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const groups = new Map<string, Group>();
  for (const row of runs) {
    const session = sessions.get(row.session_id);
    const text = `${row.prompt} ${row.model} ${row.status} ${session?.name ?? ''} ${session?.notebook ?? ''} ${session?.workspace ?? ''}`.toLowerCase();
    if (!WANTED[filter](row) || !words.every(word => text.includes(word))) {
      continue;
    }
    const group = groups.get(row.session_id) ?? { key: row.session_id, ...titleOf(session), runs: [] };
    group.runs.push(row);
    groups.set(row.session_id, group);
  }
  return joined([...groups.values()].map(group => (group.runs.length === 1 ? named(group, sessions.get(group.key)) : group)));
}

/** A conversation of one run, named after its prompt, would say the same twice: its folder says more. */
function named(group: Group, session: Session | undefined): Group {
  const says = group.title.replace(/…$/, '');
  return session && group.runs[0]?.prompt.startsWith(says) ? { ...group, title: nameOf(session.workspace) || '/', single: true } : group;
}

/** Single questions asked one after the other in one folder stand under one heading. */
function joined(groups: readonly Group[]): Group[] {
  const found: Group[] = [];
  for (const group of groups) {
    const last = found[found.length - 1];
    if (last?.single && group.single && last.place === group.place) {
      found[found.length - 1] = { ...last, runs: [...last.runs, ...group.runs] };
    } else {
      found.push(group);
    }
  }
  return found;
}

/** What a conversation is called: by its notebook, else its own name, else its folder. */
export function titleOf(session: Session | undefined): { title: string; place: string } {
  if (!session) {
    return { title: 'A conversation', place: '' };
  }
  const notebook = session.notebook && !session.notebook.endsWith('/') ? nameOf(session.notebook) : '';
  const name = session.title || (session.name === 'main' ? '' : session.name.replace(/-[0-9a-f]{6}$/, ''));
  const folder = nameOf(session.workspace);
  return { title: [notebook, name].filter(Boolean).join(' · ') || folder || '/', place: session.workspace };
}

export function ago(ms: number, now: number): string {
  const seconds = Math.max(0, Math.round((now - ms) / 1000));
  if (seconds < 60) {
    return 'just now';
  }
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) {
    return `${minutes} min ago`;
  }
  const hours = Math.round(minutes / 60);
  if (hours < 24) {
    return `${hours} h ago`;
  }
  return new Date(ms).toLocaleDateString('en', { month: 'short', day: 'numeric', ...(now - ms > 300 * 86_400_000 ? { year: 'numeric' } : {}) });
}

/** How long a run has taken, from its start to its end or to now. */
export function duration(row: RunRow, now: number): string {
  if (!row.started_ms) {
    return '';
  }
  const seconds = Math.max(0, Math.round(((row.ended_ms ?? (FINAL.has(row.status) ? row.started_ms : now)) - row.started_ms) / 1000));
  if (seconds < 60) {
    return `${seconds} s`;
  }
  return seconds < 3_600 ? `${Math.floor(seconds / 60)} min ${seconds % 60} s` : `${Math.floor(seconds / 3_600)} h ${Math.floor((seconds % 3_600) / 60)} min`;
}

/** Tokens and money of some days, '' for none; the demo costs nothing and counts for nothing. */
export function spent(days: readonly UsedOn[]): string {
  const real = days.filter(on => on.model !== 'demo').map(on => on.used);
  const tokens = real.reduce((sum, used) => sum + promptTokens(used) + used.output_tokens, 0);
  const cost = real.reduce((sum, used) => sum + (used.cost_usd ?? 0), 0);
  return tokens ? `Today: ${cost ? `${money(cost)} · ` : ''}${short(tokens)} tokens` : '';
}

/** What an undo did, and what it refused. */
export function undone({ paths, skipped }: { paths: string[]; skipped: string[] }): string {
  const back = paths.length ? `Put back: ${paths.join(', ')}.` : 'Nothing was put back.';
  return skipped.length ? `${back} Left alone, because you changed it since: ${skipped.join(', ')}.` : back;
}
