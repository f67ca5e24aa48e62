// The Jupyter server of this page, for what a view needs of it.
import type { ModelDoor, OpenPreview, PreviewAddress } from './source';

interface Answer {
  url: string;
  host_url: string;
  expires_ms: number;
}

/** How to reach what is served in a run's sandbox; undefined on a page without a Jupyter server. */
export function previewsOfServer(): OpenPreview | undefined {
  const base = baseUrl();
  return base === null ? undefined : (run, port) => openPreview(base, run, port);
}

/** Where this person's model is set up; undefined on a page without a Jupyter server. */
export function modelOfServer(): ModelDoor | undefined {
  const base = baseUrl();
  return base === null
    ? undefined
    : {
        get: () => ask(base, 'model', 'GET'),
        test: setup => ask(base, 'model/test', 'POST', setup),
        put: setup => ask(base, 'model', 'PUT', setup),
        forget: () => ask(base, 'model', 'DELETE')
      };
}

async function openPreview(base: string, run: string, port: number): Promise<PreviewAddress> {
  const said = await ask<Answer>(base, `runs/${encodeURIComponent(run)}/previews/${port}`, 'POST', {});
  const url = said.host_url && (await found(said.host_url)) ? said.host_url : said.url;
  return { url, expires_ms: said.expires_ms };
}

/** Raises an error whose message a person can read. */
async function ask<T>(base: string, path: string, method: string, body?: object): Promise<T> {
  const response = await fetch(`${base}api/agent/${path}`, {
    method,
    credentials: 'same-origin',
    headers: { 'Content-Type': 'application/json', 'X-XSRFToken': cookie('_xsrf') },
    ...(body ? { body: JSON.stringify(body) } : {})
  });
  const said = (await response.json().catch(() => null)) as (T & { error?: { message: string; hint: string } }) | null;
  if (!response.ok || !said) {
    throw new Error([said?.error?.message, said?.error?.hint].filter(Boolean).join(' ') || `The server answered ${response.status}.`);
  }
  return said;
}

/** Whether this browser finds the host, and our server behind it: not every browser knows `*.localhost`. */
async function found(host: string): Promise<boolean> {
  try {
    const answer = await fetch(`${host}.well-known/agent-kernel-preview`, {
      credentials: 'omit',
      cache: 'no-store',
      signal: AbortSignal.timeout(3_000)
    });
    return answer.status === 204;
  } catch {
    return false;
  }
}

function baseUrl(): string | null {
  try {
    const text = document.getElementById('jupyter-config-data')?.textContent;
    const base = text ? (JSON.parse(text) as { baseUrl?: string }).baseUrl : undefined;
    return base ? new URL(base, location.href).pathname : null;
  } catch {
    return null;
  }
}

function cookie(name: string): string {
  return new RegExp(`(?:^|; )${name}=([^;]*)`).exec(document.cookie)?.[1] ?? '';
}
