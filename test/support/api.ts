/** The HTTP API of a service as its callers see it. */
import { openTokenBook } from '../../src/http/tokens.ts';
import { keksOf } from '../../src/rotation/policy.ts';
import type { Fleet } from './fleet.ts';

export interface Answered {
  readonly status: number;
  readonly type: string;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: a test says what it expects of a document
  readonly body: any;
}

/** @param bearer the value of a token; empty: none is sent */
export function caller(url: string, bearer: string) {
  const authorization: Record<string, string> = bearer === '' ? {} : { authorization: `Bearer ${bearer}` };
  return async (path: string, init: RequestInit & { json?: unknown } = {}): Promise<Answered> => {
    const { json, ...rest } = init;
    const posted = json === undefined ? {} : { method: 'POST', body: JSON.stringify(json) };
    const type: Record<string, string> = json === undefined ? {} : { 'content-type': 'application/json' };
    const headers = { ...authorization, ...type, ...(rest.headers as Record<string, string>) }; // tests give objects
    const response = await fetch(`${url}${path}`, { ...posted, ...rest, headers });
    const text = await response.text();
    const media = response.headers.get('content-type')?.split(';')[0] ?? '';
    const body = media.endsWith('json') ? JSON.parse(text) : text;
    return { status: response.status, type: media, headers: response.headers, body };
  };
}

export type Caller = ReturnType<typeof caller>;

export interface TokenWish {
  readonly name?: string;
  readonly scopes?: readonly ('rotate' | 'read' | 'metrics')[];
  readonly only?: string | null;
  /** From now on, in ms. */
  readonly lifeMs?: number;
}

export function bookOf({ resources, config }: Pick<Fleet, 'resources' | 'config'>) {
  return openTokenBook({ store: resources.store, keks: keksOf(config), dataDir: config.dataDir });
}

/** The value of a new token. */
export async function makeToken(fleet: Pick<Fleet, 'resources' | 'config'>, wish: TokenWish = {}): Promise<string> {
  const { name = 'siem', scopes = ['rotate', 'read'], only = null, lifeMs = 3_600_000 } = wish;
  const expiresAt = (await fleet.resources.store.now()) + lifeMs;
  return bookOf(fleet).create({ name, scopes, only, expiresAt }, { actor: 'test', reason: 'a test' });
}
