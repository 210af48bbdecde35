/** Making, revoking and checking the bearer tokens of the HTTP API (RFC 6750). The value of a token is nowhere but with its owner. */
import { hash, randomBytes, timingSafeEqual } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { AuditDraft, AuditType } from '../core/audit.ts';
import {
  isTokenValue,
  type Token,
  type TokenList,
  type TokenScope,
  VALUE_PREFIX,
  withoutToken,
  withToken,
} from '../core/token.ts';
import { RekeydError } from '../errors.ts';
import { ensureFolder } from '../files/folder.ts';
import { replaceFile } from '../files/replace.ts';
import type { Kek } from '../keys/kek.ts';
import { signDocument, signerOf, verifyDocument } from '../keys/signed.ts';
import type { Store } from '../store/store.ts';
import { monotonic, sleep } from '../time.ts';

export interface NewToken {
  readonly name: string;
  readonly scopes: readonly TokenScope[];
  readonly only: string | null;
  readonly expiresAt: number;
}

type Cause = Pick<AuditDraft, 'actor' | 'claimed_by' | 'reason'>;

export interface TokenBook {
  /** Makes a token. @returns its value, which is not kept. @throws RekeydError `usage`, `key_tampered`, `kek_missing`, `not_durable` */
  create(token: NewToken, cause: Cause): Promise<string>;
  /** @throws RekeydError `not_found`, and as {@link TokenBook.create} */
  revoke(name: string, cause: Cause): Promise<void>;
  /** Begins a new list without any, also where the present one cannot be read. @throws RekeydError `not_durable` */
  revokeAll(cause: Cause): Promise<void>;
  /** Signs the list under the first KEK. True when it was under another one. */
  resign(cause: Cause): Promise<boolean>;
  list(): Promise<readonly Token[]>;
  /**
   * The token with this value, unless it has expired; null: there is none. A list that was changed a moment ago counts after {@link FRESH_MS} at the latest.
   * @throws RekeydError `key_tampered`, `kek_missing`, `redis_unreachable`
   */
  find(value: string): Promise<Token | null>;
  /** The same by the hash of the value: of one that was shown before, and is not kept. */
  findByHash(hash: string): Promise<Token | null>;
}

/** How old, in ms, what is known of the list may be. */
const FRESH_MS = 1_000;

/** Between two reads, in ms, for tokens that are not in it. */
const AGAIN_MS = 100;

const PURPOSE = 'HTTP tokens';

/** Somebody else changes the list at the same moment only this often. */
const ATTEMPTS = 20;

export interface TokenBookOptions {
  readonly store: Pick<Store, 'id' | 'now' | 'signedTokens' | 'replaceTokens'>;
  readonly keks: readonly Kek[];
  /** Where it is noted which list was seen last. */
  readonly dataDir: string;
}

interface Read {
  /** As it is in the store; null: there is none. */
  readonly signed: string | null;
  readonly list: TokenList;
  /** When it was read: ms since the Unix epoch, on the store's clock. */
  readonly at: number;
}

export function openTokenBook({ store, keks, dataDir }: TokenBookOptions): TokenBook {
  const highest = openHighest(dataDir);
  let known: { readonly list: Promise<Read>; readonly at: number } | null = null;

  async function read(): Promise<Read> {
    // First, so that a change to the list made meanwhile is newer than this.
    const seen = await highest.of(store.id);
    const [signed, at] = await Promise.all([store.signedTokens(), store.now()]);
    const none: TokenList = { v: 1, store: store.id, serial: seen, tokens: [] };
    if (signed === null) {
      if (none.serial > 0) throw putBack('none');
      return { signed, list: none, at };
    }
    const list: TokenList = JSON.parse(await verifyDocument(signed, PURPOSE, keks)); // only `replace` signs one
    // Those of a store that was lost: who holds one asks for another.
    if (list.store !== store.id) return { signed, list: none, at };
    if (list.serial < none.serial) throw putBack('an older list');
    await highest.note(list);
    return { signed, list, at };
  }

  async function replace(
    { signed }: Pick<Read, 'signed'>,
    list: TokenList,
    entries: readonly AuditDraft[],
  ): Promise<boolean> {
    const after = await signDocument(JSON.stringify(list), PURPOSE, keks);
    if (!(await store.replaceTokens(signed, after, entries))) return false;
    await highest.note(list);
    known = null;
    return true;
  }

  async function change(alter: (list: TokenList) => TokenList, entry: AuditDraft): Promise<void> {
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      const present = await read();
      if (await replace(present, alter(present.list), [entry])) return;
    }
    throw new RekeydError('store_conflict', 'Others change the tokens all the time: nothing was changed. Try again.');
  }

  /**
   * Null: there is none, or it has expired.
   * @param since what is known of the list must have been read after that, in ms of the monotonic clock
   */
  async function tokenIn(since: number, wanted: Buffer): Promise<Token | null> {
    if (known === null || known.at < since) known = { list: read(), at: monotonic() };
    const asked = known;
    const { list, at } = await asked.list.catch((error: unknown) => {
      if (known === asked) known = null;
      throw error;
    });
    const [token] = list.tokens.filter((token) => timingSafeEqual(Buffer.from(token.hash), wanted));
    const now = at + (monotonic() - asked.at);
    return token === undefined || token.expiresAt <= now ? null : token;
  }

  /** One that is not there may have been made just now. Those who ask for such a one wait for each other: however many guess, the list is read so often. */
  async function justMade(wanted: Buffer): Promise<Token | null> {
    const asked = monotonic();
    await sleep(Math.max(0, (known?.at ?? 0) + AGAIN_MS - asked));
    return tokenIn(asked, wanted);
  }

  async function findByHash(hash: string): Promise<Token | null> {
    const wanted = Buffer.from(hash);
    return (await tokenIn(monotonic() - FRESH_MS, wanted)) ?? justMade(wanted);
  }

  return {
    async create({ name, scopes, only, expiresAt }, cause) {
      const value = `${VALUE_PREFIX}${randomBytes(32).toString('base64url')}`;
      const createdAt = await store.now();
      const token = { name, hash: hashOf(value), scopes, only, createdAt, expiresAt, by: cause.actor };
      const data = { name, scopes, only, expires: new Date(expiresAt).toISOString() };
      await change((list) => withToken(list, token), entry('token.created', cause, data));
      return value;
    },
    revoke: (name, cause) => change((list) => withoutToken(list, name), entry('token.revoked', cause, { name })),
    async revokeAll(cause) {
      const signed = await store.signedTokens();
      const present = await read().catch(() => null);
      // Other machines may have seen a longer count than this list and this machine tell: the time is beyond all of them.
      const serial = Math.max(present?.list.serial ?? 0, await highest.of(store.id), await store.now()) + 1;
      const list: TokenList = { v: 1, store: store.id, serial, tokens: [] };
      const entries = [entry('token.revoked', cause, { all: true })];
      if (await replace({ signed }, list, entries)) return;
      throw new RekeydError('store_conflict', 'Somebody else changed the tokens just now. Try again.');
    },
    async resign(cause) {
      const present = await read();
      if (present.signed === null || signerOf(present.signed) === keks[0]?.id) return false;
      const told = entry('keys.rewrapped', cause, { what: 'tokens', to: keks[0]?.id ?? null });
      return replace(present, present.list, [told]);
    },
    list: async () => (await read()).list.tokens,
    find: async (value) => (isTokenValue(value) ? findByHash(hashOf(value)) : null),
    findByHash,
  };
}

function hashOf(value: string): string {
  return hash('sha256', value, 'base64url');
}

function entry(type: AuditType, cause: Cause, data: AuditDraft['data']): AuditDraft {
  return { type, client: null, rotation: null, ...cause, data };
}

function putBack(what: string): RekeydError {
  const why = `The store holds ${what} where a newer list of HTTP tokens was: somebody put it back, so no token is accepted.`;
  return new RekeydError('key_tampered', `${why} \`rekeyd token revoke --all\` begins a new list.`);
}

/** The number of the newest list that this machine saw, in `data_dir`: it outlives the process, and who can write Redis cannot write it. */
function openHighest(dataDir: string) {
  const file = join(dataDir, 'tokens.json');
  let seen: { readonly store: string; readonly serial: number } | null = null;

  async function load() {
    return readFile(file, 'utf8').then(parseSeen, (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return { store: '', serial: 0 };
      throw error;
    });
  }

  return {
    async of(store: string): Promise<number> {
      // Read each time: a command on this machine may have seen a newer one since.
      const both = [await load(), seen].map((one) => (one?.store === store ? one.serial : 0));
      return Math.max(...both);
    },
    async note({ store, serial }: Pick<TokenList, 'store' | 'serial'>): Promise<void> {
      if (seen?.store === store && seen.serial >= serial) return;
      // A command on this machine may have seen a newer one.
      const held = await load();
      seen = { store, serial: held.store === store ? Math.max(held.serial, serial) : serial };
      if (held.store === store && held.serial >= serial) return;
      await ensureFolder(dataDir, 0o700);
      await replaceFile(file, `${JSON.stringify(seen)}\n`, 0o600);
    },
  };
}

function parseSeen(text: string): { readonly store: string; readonly serial: number } {
  try {
    const { store, serial } = JSON.parse(text);
    if (typeof store === 'string' && Number.isSafeInteger(serial)) return { store, serial };
  } catch {}
  throw new RekeydError('config', 'tokens.json in data_dir cannot be read. Remove it: it is written anew.');
}
