/** A login at Vault: one token for all calls. It is renewed before its lease ends, and replaced by a new login when it is lost. */
import type { VaultAuthConfig } from '../config/vault.ts';
import { members } from '../core/reply.ts';
import { isToken, readToken } from '../files/token.ts';
import { after, alarm, monotonic, untilAborted } from '../time.ts';
import { type VaultApi, VaultError } from './api.ts';

export interface Session {
  /**
   * Makes a call with a token. Where Vault refuses the token, it may have been revoked or its lease may have ended: then it logs in again and makes the call
   * once more.
   * @throws VaultError, Error as {@link VaultApi.call}
   */
  withToken<T>(call: (token: string) => Promise<T>): Promise<T>;
  /** Gives back the token that it has logged in for. The next call logs in again. */
  release(): Promise<void>;
}

export interface SessionOptions {
  /** `always`: a token that is used once a month is renewed in between, until it is released. `in_use`: before the calls that need it. */
  readonly renews: 'always' | 'in_use';
}

interface Held {
  readonly token: string;
  /** These are times of the monotonic clock, in ms. */
  readonly since: number;
  /** `Infinity` for a token without an end. */
  readonly endsAt: number;
  /** `Infinity` for one that cannot be renewed. */
  readonly renewAt: number;
}

/** A lease is renewed after this part of it. What fails then has the other part to be tried again in. */
const RENEW_AFTER = 0.5;

/** Not more often than this, in ms, however short a lease is. */
const SOONEST_MS = 1_000;

/** Between tries while Vault is away, in ms. */
const RETRY_MS = 10_000;

/** A timer cannot wait longer than 24 days, in ms. */
const LATEST_MS = 86_400_000;

/** A token whose lease ends within this time, in ms, is not used any more: it would be refused on its way. */
const MARGIN_MS = 1_000;

/** Giving a token back holds up no shutdown, in ms. */
const GOODBYE_MS = 2_000;

/** A refused token that is older than this, in ms, is replaced although it lives: its role may have got more policies since. */
const YOUNG_MS = 60_000;

const LOOK = { method: 'GET', path: 'auth/token/lookup-self', doing: 'looking at the token', expects: [403] } as const;
const RENEW = { method: 'POST', path: 'auth/token/renew-self', body: {}, doing: 'renewing the token' } as const;
const GIVE_BACK = { method: 'POST', path: 'auth/token/revoke-self', body: {}, doing: 'giving the token back' } as const;

export function openSession(api: VaultApi, auth: VaultAuthConfig, { renews }: SessionOptions): Session {
  let held: Held | null = null;
  let logging: Promise<Held> | null = null;
  let renewing: Promise<void> | null = null;
  let cancel = () => {};

  function hold(next: Held | null): void {
    held = next;
    cancel();
    if (held === null || renews !== 'always' || held.renewAt === Number.POSITIVE_INFINITY) return;
    cancel = alarm(Math.min(LATEST_MS, held.renewAt - monotonic()), () => void renew());
  }

  function keep(token: string, { seconds, isRenewable }: Lease, since = monotonic()): Held {
    const ms = seconds === 0 ? Number.POSITIVE_INFINITY : seconds * 1000;
    const renewIn = isRenewable ? Math.max(SOONEST_MS, ms * RENEW_AFTER) : Number.POSITIVE_INFINITY;
    const kept = { token, since, endsAt: monotonic() + ms, renewAt: monotonic() + renewIn };
    hold(kept);
    return kept;
  }

  /** Never rejects: what fails is tried again while the lease lasts. */
  function renew(): Promise<void> {
    renewing ??= renewOnce().finally(() => {
      renewing = null;
    });
    return renewing;
  }

  async function renewOnce(): Promise<void> {
    const renewed = held;
    if (renewed === null) return;
    const { token, since } = renewed;
    try {
      const { body } = await api.call({ ...RENEW, token });
      const lease = leaseIn(members(body).auth, RENEW.doing);
      if (held?.token === token) keep(token, lease, since);
    } catch (error) {
      if (held?.token !== token) return;
      hold(isRefused(error) ? null : { ...renewed, renewAt: monotonic() + RETRY_MS });
    }
  }

  async function logIn(): Promise<Held> {
    if (auth.kind === 'token') {
      const token = auth.token.reveal();
      const { status, body } = await api.call({ ...LOOK, token });
      // A policy may keep a token from looking at itself. If it has ended, the call that needs it says so.
      if (status === 403) return keep(token, { seconds: 0, isRenewable: false });
      const { ttl, renewable } = members(members(body).data);
      return keep(token, leaseIn({ lease_duration: ttl, renewable }, LOOK.doing));
    }
    const secret = auth.kind === 'app_role' ? auth.secretId.reveal() : await readToken(auth.tokenFile);
    const body =
      auth.kind === 'app_role' ? { role_id: auth.roleId, secret_id: secret } : { role: auth.role, jwt: secret };
    const [path, doing] = [`auth/${auth.mount}/login`, `logging in at auth/${auth.mount}`];
    const hint = 'Check what auth says, and the role at Vault';
    const answer = await api.call({ method: 'POST', path, body, doing, token: null, secrets: [secret], hint });
    const { client_token: token, ...lease } = members(members(answer.body).auth);
    if (typeof token !== 'string' || !isToken(token)) throw new Error(`Vault gives no token ${doing}`);
    return keep(token, leaseIn(lease, doing));
  }

  async function current(): Promise<Held> {
    if (held !== null && monotonic() >= held.renewAt) await renew();
    if (held !== null && monotonic() < held.endsAt - MARGIN_MS) return held;
    // Calls that begin together log in once.
    logging ??= logIn().finally(() => {
      logging = null;
    });
    return logging;
  }

  /**
   * Whether another token may do what this one may not. Each login leaves a lease at Vault: while a policy lacks a right, they must not pile up.
   */
  async function isWorthALogin({ token, since }: Held): Promise<boolean> {
    if (monotonic() - since > YOUNG_MS) return true;
    const looked = await api.call({ ...LOOK, token }).catch(() => null);
    return looked?.status === 403;
  }

  async function giveBack(token: string): Promise<void> {
    await api.call({ ...GIVE_BACK, token, timeoutMs: GOODBYE_MS }).catch(() => {}); // its lease ends by itself
  }

  return {
    async withToken(call) {
      const used = await current();
      try {
        return await call(used.token);
      } catch (error) {
        if (!isRefused(error) || auth.kind === 'token') throw error;
        // Another call may have replaced it already.
        if (held?.token === used.token && !(await isWorthALogin(used))) throw error;
        if (held?.token === used.token) {
          hold(null);
          void giveBack(used.token);
        }
        return call((await current()).token);
      }
    },
    async release() {
      // A login under way would leave a token that nobody gives back.
      if (logging !== null) await untilAborted(logging, after(GOODBYE_MS)).catch(() => {});
      const given = held;
      hold(null);
      if (given !== null && auth.kind !== 'token') await giveBack(given.token);
    },
  };
}

function isRefused(error: unknown): boolean {
  return error instanceof VaultError && error.status === 403;
}

interface Lease {
  /** 0: it has no end. */
  readonly seconds: number;
  readonly isRenewable: boolean;
}

/**
 * What Vault says of the time that a token lives. An answer without a number must not pass for a token without an end: that one would never be renewed.
 * @param value `auth` of a login or a renewal
 * @throws Error
 */
function leaseIn(value: unknown, doing: string): Lease {
  const { lease_duration: seconds, renewable } = members(value);
  if (typeof seconds === 'number' && seconds >= 0) return { seconds, isRenewable: renewable === true };
  throw new Error(`Vault does not say how long the token lives, ${doing}`);
}
