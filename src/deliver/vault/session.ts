/** Being logged in at Vault: one token for all deliveries, renewed before its lease ends, and asked for anew when it is lost. */
import { readFile } from 'node:fs/promises';
import type { VaultAuthConfig } from '../../config/sinks/model.ts';
import { members } from '../../core/reply.ts';
import { messageOf } from '../../errors.ts';
import { alarm, monotonic } from '../../time.ts';
import { type VaultApi, VaultError } from './api.ts';

export interface Session {
  /**
   * Makes a call with a token. Where it is refused, the token may have been revoked or its lease may have ended: then it logs in again and makes the call once
   * more.
   * @throws VaultError, Error as {@link VaultApi.call}
   */
  withToken<T>(call: (token: string) => Promise<T>): Promise<T>;
  /** Gives a token back that it has logged in for. */
  close(): Promise<void>;
}

interface Held {
  readonly token: string;
  /** By the monotonic clock, in ms; `Infinity` for a token without an end. */
  readonly endsAt: number;
}

/** A lease is renewed after this part of it. What fails then has the other part to be tried again in. */
const RENEW_AFTER = 0.5;

/** Not more often than this, in ms, however short a lease is. */
const SOONEST_MS = 1_000;

/** A timer cannot wait longer than 24 days, in ms. */
const LATEST_MS = 86_400_000;

/** A token whose lease ends within this time, in ms, is not used any more: it would be refused on its way. */
const MARGIN_MS = 1_000;

/** Giving a token back holds up no shutdown, in ms. */
const GOODBYE_MS = 2_000;

export function openSession(api: VaultApi, auth: VaultAuthConfig): Session {
  let held: Held | null = null;
  let logging: Promise<Held> | null = null;
  let cancel = () => {};
  let isClosed = false;

  /** @param lease `auth` of a login or a renewal, or what the server says of a token */
  function keep(token: string, { seconds, isRenewable }: Lease): Held {
    const ms = seconds === 0 ? Number.POSITIVE_INFINITY : seconds * 1000;
    held = { token, endsAt: monotonic() + ms };
    cancel();
    if (!isClosed && isRenewable && seconds > 0) {
      cancel = alarm(Math.min(LATEST_MS, Math.max(SOONEST_MS, ms * RENEW_AFTER)), () => void renew(token));
    }
    return held;
  }

  /** In the background: a token that is used once a month must not end in between. */
  async function renew(token: string): Promise<void> {
    const call = {
      method: 'POST',
      path: 'auth/token/renew-self',
      body: {},
      doing: 'renewing the token',
      token,
    } as const;
    try {
      const { body } = await api.call(call);
      if (held?.token === token) keep(token, leaseIn(members(body).auth));
    } catch (error) {
      if (held?.token !== token) return;
      if (error instanceof VaultError && error.status === 403) held = null;
      // Vault is away for a while: the rest of the lease is left for another try.
      else if (!isClosed) cancel = alarm(SOONEST_MS * 10, () => void renew(token));
    }
  }

  async function logIn(): Promise<Held> {
    if (auth.kind === 'token') {
      const token = auth.token.reveal();
      const about = { method: 'GET', path: 'auth/token/lookup-self', doing: 'looking at the token', token } as const;
      const { body } = await api.call({ ...about, expects: [403] });
      // A policy may keep a token from looking at itself. One that has ended is told by the call it is for.
      const { ttl, renewable } = members(members(body).data);
      return keep(token, leaseIn({ lease_duration: ttl, renewable }));
    }
    const given =
      auth.kind === 'app_role'
        ? { role_id: auth.roleId, secret_id: auth.secretId.reveal() }
        : { role: auth.role, jwt: await serviceToken(auth.tokenFile) };
    const doing = `logging in at auth/${auth.mount}`;
    const { body } = await api.call({
      method: 'POST',
      path: `auth/${auth.mount}/login`,
      body: given,
      doing,
      token: null,
    });
    const { client_token: token, ...lease } = members(members(body).auth);
    if (typeof token !== 'string') throw new Error(`Vault gives no token ${doing}`);
    return keep(token, leaseIn(lease));
  }

  async function current(): Promise<string> {
    if (held !== null && monotonic() < held.endsAt - MARGIN_MS) return held.token;
    // Deliveries that begin together log in once.
    logging ??= logIn().finally(() => {
      logging = null;
    });
    return (await logging).token;
  }

  return {
    async withToken(call) {
      const token = await current();
      try {
        return await call(token);
      } catch (error) {
        if (!(error instanceof VaultError) || error.status !== 403 || auth.kind === 'token') throw error;
        if (held?.token === token) held = null;
        return call(await current());
      }
    },
    async close() {
      isClosed = true;
      cancel();
      if (held === null || auth.kind === 'token') return;
      const call = {
        method: 'POST',
        path: 'auth/token/revoke-self',
        body: {},
        doing: 'giving the token back',
      } as const;
      await api.call({ ...call, token: held.token, timeoutMs: GOODBYE_MS }).catch(() => {}); // its lease ends by itself
    },
  };
}

interface Lease {
  /** 0: it has no end. */
  readonly seconds: number;
  readonly isRenewable: boolean;
}

function leaseIn(value: unknown): Lease {
  const { lease_duration: seconds, renewable } = members(value);
  return { seconds: typeof seconds === 'number' ? seconds : 0, isRenewable: renewable === true };
}

async function serviceToken(file: string): Promise<string> {
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (error) {
    throw new Error(`the token of the service account cannot be read: ${messageOf(error)}`);
  }
}
