// What the settings view asks the server: skills and MCP servers.
import type { Api } from './api';

export interface Skill {
  name: string;
  description: string;
  scope: 'workspace' | 'user' | 'bundled';
  state: 'on' | 'off' | 'untrusted' | 'shadowed' | 'broken';
  folder: string;
  problems: Problem[];
}

export interface Problem {
  level: 'error' | 'warning' | 'advice';
  text: string;
}

export interface SkillText extends Omit<Skill, 'state'> {
  text: string;
  files: Array<{ path: string; size: number }>;
}

export interface Server {
  name: string;
  source: 'user' | 'workspace';
  kind: 'http' | 'sandbox' | 'host';
  where: string;
  on: boolean;
  state: 'connected' | 'failed' | 'idle' | 'off';
  /** `none`: nobody logs in there; `waiting`: one was begun. */
  login: 'none' | 'possible' | 'needed' | 'waiting' | 'kept';
  problem: string;
  tools: Array<{ name: string; read_only: boolean; asks: boolean }>;
}

export interface Servers {
  servers: Server[];
  problems: string[];
  waiting: Array<{ name: string; kind: string; where: string }>;
}

export interface Template {
  name: string;
  says: string;
  needs: string;
}

const json = (method: string, body: object): RequestInit => ({ method, body: JSON.stringify(body) });
const named = encodeURIComponent;

/** One session's: its workspace has skills and servers of its own. */
export class SettingsDoor {
  constructor(
    private readonly api: Api,
    readonly session: string
  ) {}

  private get query(): string {
    return `session=${named(this.session)}`;
  }

  skills = async (): Promise<Skill[]> => (await this.api.call<{ skills: Skill[] }>(`skills?${this.query}`, {})).skills;

  skill = (name: string): Promise<SkillText> => this.api.call(`skills/${named(name)}?${this.query}`, {});

  begin = (name: string, description: string): Promise<SkillText> => this.api.call('skills', json('POST', { name, description }));

  write = (name: string, text: string): Promise<SkillText> => this.api.call(`skills/${named(name)}?${this.query}`, json('PUT', { text }));

  upload = (file: Blob, replace: boolean): Promise<{ skills: SkillText[] }> =>
    this.api.call(`skills/upload?replace=${replace ? 1 : 0}`, { method: 'POST', body: file });

  remove = (name: string): Promise<unknown> => this.api.call(`skills/${named(name)}?${this.query}`, { method: 'DELETE' });

  switchSkill = (name: string, on: boolean): Promise<Skill> => this.api.call(`sessions/${this.session}/skills/${named(name)}`, json('PUT', { on }));

  servers = (): Promise<Servers> => this.api.call(`mcp?${this.query}`, {});

  templates = async (): Promise<Template[]> => (await this.api.call<{ templates: Template[] }>('mcp/templates', {})).templates;

  add = (name: string, template: string, said: object): Promise<Servers> =>
    this.api.call('mcp', json('POST', { session: this.session, name, said, ...(template ? { template } : {}) }));

  removeServer = (name: string): Promise<Servers> => this.api.call(`mcp/servers/${named(name)}?${this.query}`, { method: 'DELETE' });

  test = (name: string): Promise<Server & { ok: boolean; duration_ms: number }> => this.act(name, 'test');

  switchServer = (name: string, on: boolean): Promise<Servers> => this.act(name, on ? 'on' : 'off');

  /** Where the person's browser goes; empty when no login is needed. */
  login = async (name: string): Promise<string> => (await this.act<{ url: string }>(name, 'login')).url;

  logout = (name: string): Promise<Servers> => this.act(name, 'logout');

  /** The session's next run has the tools that servers offer then. */
  refresh = (): Promise<unknown> => this.api.refreshTools(this.session);

  private act<T>(name: string, action: string): Promise<T> {
    return this.api.call(`mcp/${named(name)}/${action}`, json('POST', { session: this.session }));
  }
}

/** What a person typed as arguments: words, and what stands in quotes as one. */
export function words(line: string): string[] {
  const found = line.match(/"[^"]*"|'[^']*'|[^\s"']+/g) ?? [];
  return found.map(word => word.replace(/^(["'])(.*)\1$/, '$2'));
}

/** The part of a SKILL.md that people and the model read, below its header. */
export function bodyOf(text: string): string {
  return text.replace(/^---\r?\n[\s\S]*?\r?\n---\r?\n?/, '');
}

/** A name a skill may have, made of what was typed. */
export function slug(typed: string): string {
  return typed.toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-+|-+$/g, '').slice(0, 64);
}

export function sentenceOf(error: unknown): string {
  const { sentence, message } = error as { sentence?: string; message?: string };
  return sentence ?? message ?? String(error);
}
