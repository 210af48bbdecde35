/** Who may use the HTTP API: `rekeyd token create`, and what lists and revokes tokens. */
import { loadConfig } from '../config/load.ts';
import type { Config } from '../config/model.ts';
import { parseDuration } from '../core/duration.ts';
import type { Token, TokenScope } from '../core/token.ts';
import { openTokenBook, type TokenBook } from '../http/tokens.ts';
import { keksOf } from '../rotation/policy.ts';
import type { Store } from '../store/store.ts';
import { author, type Globals, withResourcesOf } from './open.ts';
import { note, print, printJson } from './output.ts';
import { usage } from './select.ts';

export interface CreateOptions {
  readonly scope: readonly TokenScope[];
  readonly app?: string;
  readonly client?: string;
  readonly expires: string;
  readonly reason?: string;
  readonly json?: boolean;
}

/** The value goes to stdout, once; what else there is to say goes to stderr. */
export async function tokenCreate(globals: Globals, name: string, options: CreateOptions): Promise<number> {
  const { scope: scopes, app, client, reason = 'made on the command line' } = options;
  if (app !== undefined && client !== undefined) throw usage('Write --app or --client, not both.');
  const lifeMs = lifeOf(options.expires);
  return withTokens(globals, async (book, store) => {
    const expiresAt = (await store.now()) + lifeMs;
    const only = client ?? app ?? null;
    const value = await book.create({ name, scopes, only, expiresAt }, { ...author(), reason });
    const expires = new Date(expiresAt).toISOString();
    if (options.json) printJson({ name, token: value, scopes, only, expires });
    else {
      print(value);
      note(`Token ${name} may ${scopes.join(', ')}${only === null ? '' : ` for ${only}`} until ${expires}.`);
      note('It is shown this once: keep it where secrets are kept.');
      note(
        `Programs send it as: Authorization: Bearer TOKEN.${scopes.includes('read') ? ' People sign in with it on the page, at http.listen.' : ''}`,
      );
    }
    return 0;
  });
}

export async function tokenList(globals: Globals, { json }: { readonly json?: boolean }): Promise<number> {
  return withTokens(globals, async (book, store) => {
    const [tokens, now] = [await book.list(), await store.now()];
    if (json) printJson({ tokens: tokens.map((token) => shown(token, now)) });
    else if (tokens.length === 0) print('There are no tokens. Make one: rekeyd token create NAME --scope read');
    else for (const token of tokens) print(lineOf(token, now));
    return 0;
  });
}

export interface RevokeOptions {
  readonly all?: boolean;
  readonly reason?: string;
}

export async function tokenRevoke(
  globals: Globals,
  name: string | undefined,
  { all = false, reason = 'revoked on the command line' }: RevokeOptions,
): Promise<number> {
  if ((name === undefined) !== all) throw usage('Name the token to revoke, or write --all for every one.');
  const cause = { ...author(), reason };
  return withTokens(globals, async (book) => {
    if (name === undefined) await book.revokeAll(cause);
    else await book.revoke(name, cause);
    print(`Revoked: ${name ?? 'all tokens'}. Workers refuse ${name === undefined ? 'them' : 'it'} within a second.`);
    return 0;
  });
}

async function withTokens(
  { file, env }: Globals,
  work: (book: TokenBook, store: Store) => Promise<number>,
): Promise<number> {
  const config: Config = await loadConfig(file, env);
  return withResourcesOf(config, ({ store }) =>
    work(openTokenBook({ store, keks: keksOf(config), dataDir: config.dataDir }), store),
  );
}

const LONGEST_MS = 3650 * 86_400_000;

function lifeOf(text: string): number {
  const ms = parseDuration(text);
  if (ms !== null && ms > 0 && ms <= LONGEST_MS) return ms;
  throw usage(`--expires ${JSON.stringify(text)} is not a duration. Write a number and a unit, such as 12h or 90d.`);
}

function shown({ name, scopes, only, createdAt, expiresAt, by }: Token, now: number) {
  const [created, expires] = [createdAt, expiresAt].map((ms) => new Date(ms).toISOString());
  return { name, scopes, only, created, expires, expired: expiresAt <= now, by };
}

function lineOf(token: Token, now: number): string {
  const { name, scopes, only, expires, expired, by } = shown(token, now);
  return `${name}  ${scopes.join(',')}  ${only ?? 'all clients'}  ${expired ? 'expired' : 'until'} ${expires}  made by ${by}`;
}
