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
  /** Makes a token. @returns its value, which is not kept. @throws RekeydError `usage`, `key_tampered`, `kek_missing`, `not_durable`, `store_conflict` */
  create(token: NewToken, cause: Cause): Promise<string>;
  /** @throws RekeydError `not_found`, and as {@link TokenBook.create} */
  revoke(name: string, cause: Cause): Promise<void>;
  /** Begins a new list without any token, also where the present list cannot be read. @throws RekeydError `not_durable`, `store_conflict` */
  revokeAll(cause: Cause): Promise<void>;
  /** Signs the list with the first KEK. @returns false where that KEK had signed it already, or there is no list. @throws as {@link TokenBook.create} */
  resign(cause: Cause): Promise<boolean>;
  list(): Promise<readonly Token[]>;
  /**
   * The token with this value, unless it has expired; null: there is none. A change by another process counts after {@link FRESH_MS} at the latest.
   * @throws RekeydError `key_tampered`, `kek_missing`, `redis_unreachable`
   */
  find(value: string): Promise<Token | null>;
  /** The same by the hash of its value, for a session of the page: that keeps the hash and not the value. */
  findByHash(hash: string): Promise<Token | null>;
}

/** The list is read again when it was read longer ago than this, in ms. */
const FRESH_MS = 1_000;

/** For a token that is not in the list, it is read again at most once in this time, in ms. */
const AGAIN_MS = 100;

const PURPOSE = 'HTTP tokens';

/** How often a change is tried while others change the list at the same time. */
const ATTEMPTS = 20;

export interface TokenBookOptions {
  readonly store: Pick<Store, 'id' | 'now' | 'signedTokens' | 'replaceTokens'>;
  readonly keks: readonly Kek[];
  /** The number of the newest list that was seen is noted there, in `tokens.json`. */
  readonly dataDir: string;
}

interface Read {
  /** The list as it is in the store; null: there is none. */
  readonly signed: string | null;
  readonly list: TokenList;
  /** When it was read: ms since the Unix epoch, on the store's clock. */
  readonly at: number;
}

interface Change {
  readonly list: TokenList;
  readonly entry: AuditDraft;
}

export function openTokenBook({ store, keks, dataDir }: TokenBookOptions): TokenBook {
  const highest = openHighest(dataDir);
  let known: { readonly list: Promise<Read>; readonly at: number } | null = null;

  async function read(): Promise<Read> {
    // First, so that a change to the list made meanwhile is newer than this.
    const seen = await highest.of(store.id);
    const [signed, at] = await Promise.all([store.signedTokens(), store.now()]);
    const empty: TokenList = { v: 1, store: store.id, serial: seen, tokens: [] };
    if (signed === null) {
      if (seen > 0) throw putBack('none');
      return { signed, list: empty, at };
    }
    const list: TokenList = JSON.parse(await verifyDocument(signed, PURPOSE, keks)); // only `replace` signs one
    // The tokens of a store that was lost are not accepted: their owners need new ones.
    if (list.store !== store.id) return { signed, list: empty, at };
    if (list.serial < seen) throw putBack('an older list');
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

  /** @param alter null: the list stays as it is. @returns whether it was changed. @throws RekeydError `store_conflict` */
  async function change(alter: (present: Read) => Change | null): Promise<boolean> {
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      const present = await read();
      const changed = alter(present);
      if (changed === null) return false;
      if (await replace(present, changed.list, [changed.entry])) return true;
    }
    throw new RekeydError('store_conflict', 'Others change the tokens all the time: nothing was changed. Try again.');
  }

  /**
   * Null: there is none, or it has expired.
   * @param since the list is read anew unless it was read after this, in ms of the monotonic clock
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

  /** A token that is not in the list may have been made just now. Its callers share one read of the list every {@link AGAIN_MS}, however many guess. */
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
      await change(({ list }) => ({ list: withToken(list, token), entry: entry('token.created', cause, data) }));
      return value;
    },
    async revoke(name, cause) {
      await change(({ list }) => ({ list: withoutToken(list, name), entry: entry('token.revoked', cause, { name }) }));
    },
    async revokeAll(cause) {
      const signed = await store.signedTokens();
      const present = await read().catch(() => null);
      // Other machines may have seen a higher number than this list has and this machine knows. The time is higher than all of them.
      const serial = Math.max(present?.list.serial ?? 0, await highest.of(store.id), await store.now()) + 1;
      const list: TokenList = { v: 1, store: store.id, serial, tokens: [] };
      const entries = [entry('token.revoked', cause, { all: true })];
      if (await replace({ signed }, list, entries)) return;
      throw new RekeydError('store_conflict', 'Somebody else changed the tokens just now. Try again.');
    },
    resign: (cause) =>
      change(({ signed, list }) => {
        const to = keks[0]?.id ?? null;
        if (signed === null || signerOf(signed) === to) return null;
        return { list, entry: entry('keys.rewrapped', cause, { what: 'tokens', to }) };
      }),
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

/** The number of the newest list that this machine saw. It is in `data_dir`: there it outlives the process, and a writer of Redis cannot change it. */
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
      // The file is read each time: a command on this machine may have seen a newer list since.
      const both = [await load(), seen].map((one) => (one?.store === store ? one.serial : 0));
      return Math.max(...both);
    },
    async note({ store, serial }: Pick<TokenList, 'store' | 'serial'>): Promise<void> {
      if (seen?.store === store && seen.serial >= serial) return;
      // A command on this machine may have seen a newer list.
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
