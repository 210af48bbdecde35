/**
 * Shows that a key signs in: a client assertion is sent to the introspection endpoint with a made-up token. The answer to a good assertion is
 * "that token is not active", so nothing changes on the server. An endpoint that says so to everybody would prove any key, so each one is shown a key that
 * nobody registered, too: with its first proof, and once an hour.
 */
import { type KeyObject, randomUUID } from 'node:crypto';
import { SignJWT } from 'jose';
import type { Algorithm } from '../core/keys.ts';
import { classifyProof, type Verdict } from '../core/proof.ts';
import { RekeydError } from '../errors.ts';
import { MIN_MODULUS_LENGTH } from '../keys/algorithms.ts';
import type { GenerateKey } from '../keys/generator.ts';
import { type Exchanged, exchange } from '../net/exchange.ts';
import { type HttpPool, openPool, type Route } from '../net/pool.ts';
import { monotonic } from '../time.ts';

/** Wacht takes up to 300 s; the shorter, the less a stolen assertion is worth. */
const LIFETIME_S = 60;
/** Clocks this close need no correction: servers allow at least that much. */
const SKEW_TOLERATED_MS = 5_000;
const MAX_BYTES = 64 * 1024;
const CONNECTIONS = 4;
/** An issuer that has refused a throw-away key is asked again after this time: something may answer in its place by then. */
const CONTROLLED_FOR_MS = 60 * 60_000;

export interface ProofRequest {
  /** `https://{fqdn}` of the OAuth app. */
  readonly issuer: string;
  /** The OAuth `client_id`. */
  readonly clientId: string;
  readonly alg: Algorithm;
  readonly kid: string;
  readonly privateKey: KeyObject;
  /** Local time in ms since the epoch. */
  readonly nowMs: number;
  /** Should a throw-away key be needed, it waits for no other. */
  readonly urgent?: boolean;
}

/** Without a route: straight, and with the authorities that Node trusts. */
export interface ProverOptions extends Partial<Route> {
  /** By the issuer's host (with its port, if it has one): the origin to connect to instead. Host header, audience and TLS name stay. */
  readonly resolve: Readonly<Record<string, string>>;
  /** Total time of one request in ms; a corrected second try has its own. */
  readonly timeoutMs: number;
  /** For throw-away keys. */
  readonly generateKey: GenerateKey;
}

export interface Prover {
  /**
   * Never throws for what the network or the server does.
   * @throws RekeydError `key_invalid` when the key cannot sign with that alg
   */
  prove(request: ProofRequest, signal?: AbortSignal): Promise<Verdict>;
  /** What the issuer says to a throw-away key. Only one that refuses it proves anything. */
  control(request: Omit<ProofRequest, 'kid' | 'privateKey'>, signal?: AbortSignal): Promise<Verdict>;
  /** That server's clock minus ours in ms, by its latest answer that had a `Date`. */
  serverClockSkewMs(issuer: string): number | null;
  /** Waits for proofs under way, then closes the connections. */
  close(): Promise<void>;
}

interface Endpoint {
  readonly pool: HttpPool;
  readonly host: string;
  readonly path: string;
  readonly audience: string;
}

export function createProver({ resolve, timeoutMs, generateKey, ...route }: ProverOptions): Prover {
  const pools = new Map<string, HttpPool>();
  const skews = new Map<string, number>();
  /** By issuer: when it was last seen to refuse a throw-away key, in ms of the monotonic clock. */
  const controlled = new Map<string, number>();

  /** One pool per origin of an issuer: under `resolve` several may share an address, and each has its own TLS name. */
  function endpointOf(issuer: string): Endpoint {
    const url = new URL(issuer);
    const base = `${url.origin}${url.pathname.replace(/\/+$/, '')}`;
    const target = Object.hasOwn(resolve, url.host) ? resolve[url.host] : undefined;
    const options = { ...route, connections: CONNECTIONS, timeoutMs, host: url.host };
    const pool = pools.get(url.origin) ?? openPool(new URL(target ?? url.origin).origin, options);
    pools.set(url.origin, pool);
    return {
      pool,
      host: url.host,
      path: new URL(`${base}/oauth/introspect`).pathname,
      audience: `${base}/oauth/introspect`,
    };
  }

  async function ask(request: ProofRequest, now: () => number, correctionMs: number, signal: AbortSignal | undefined) {
    const { pool, host, path, audience } = endpointOf(request.issuer);
    const assertion = await signAssertion(request, audience, now() + correctionMs);
    const outcome = await exchange(pool, {
      method: 'POST',
      path,
      // undici takes the TLS server name from this header as well.
      headers: { host, accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion: assertion,
        client_id: request.clientId,
        token: randomUUID(),
      }).toString(),
      timeoutMs,
      maxBytes: MAX_BYTES,
      signal,
      now,
    });
    return { verdict: verdictOf(outcome, assertion, now()), skewMs: outcome.skewMs };
  }

  function remember(issuer: string, skewMs: number | null): void {
    if (skewMs !== null) skews.set(issuer, skewMs);
  }

  async function judge(request: ProofRequest, signal: AbortSignal | undefined): Promise<Verdict> {
    const startedAt = monotonic();
    const now = () => request.nowMs + (monotonic() - startedAt);
    const assumed = correction(skews.get(request.issuer) ?? 0);
    const first = await ask(request, now, assumed, signal);
    remember(request.issuer, first.skewMs);
    const clockWasWrong = first.skewMs !== null && Math.abs(first.skewMs - assumed) > SKEW_TOLERATED_MS;
    if (first.verdict.verdict !== 'refused' || !first.verdict.claims || !clockWasWrong) return first.verdict;
    const second = await ask(request, now, correction(first.skewMs ?? 0), signal);
    remember(request.issuer, second.skewMs);
    return second.verdict;
  }

  async function control(request: Omit<ProofRequest, 'kid' | 'privateKey'>, signal?: AbortSignal): Promise<Verdict> {
    const { alg, issuer, urgent = false } = request;
    const { privateKey, thumbprint } = await generateKey(alg, { modulusLength: MIN_MODULUS_LENGTH, urgent });
    const verdict = await judge({ ...request, kid: thumbprint, privateKey: privateKey.keyObject() }, signal);
    if (verdict.verdict === 'refused') controlled.set(issuer, monotonic());
    return verdict;
  }

  return {
    async prove(request, signal) {
      const verdict = await judge(request, signal);
      const controlledAt = controlled.get(request.issuer) ?? Number.NEGATIVE_INFINITY;
      if (verdict.verdict !== 'accepted' || monotonic() - controlledAt < CONTROLLED_FOR_MS) return verdict;
      const other = await control(request, signal);
      if (other.verdict === 'refused') return verdict;
      if (other.verdict === 'throttled') return other;
      const status = other.verdict === 'unknown' ? other.status : null;
      return {
        verdict: 'unknown',
        status,
        message: other.verdict === 'accepted' ? PROVES_NOTHING : `a throw-away key was not refused: ${other.message}`,
      };
    },
    control,
    serverClockSkewMs: (issuer) => skews.get(issuer) ?? null,
    close: async () => {
      await Promise.all([...pools.values()].map((pool) => pool.close()));
    },
  };
}

const PROVES_NOTHING =
  'the issuer accepts a key that nobody registered, so it proves nothing: something before the app may answer in its place. Check issuer and resolve';

function correction(skewMs: number): number {
  return Math.abs(skewMs) > SKEW_TOLERATED_MS ? skewMs : 0;
}

function verdictOf(outcome: Exchanged, assertion: string, now: number): Verdict {
  if (outcome.kind === 'lost') return { verdict: 'unknown', status: outcome.status, message: outcome.message };
  const { status, headers } = outcome;
  // An assertion is a credential while it lives, and an error page may repeat it.
  const body = outcome.body.replaceAll(assertion, '[client assertion]');
  return classifyProof({ status, headers, body, now });
}

/** A client assertion as RFC 7523 section 3 wants it; a fresh `jti` each time, because servers take one only once. */
async function signAssertion(request: ProofRequest, audience: string, timeMs: number): Promise<string> {
  const { alg, kid, clientId } = request;
  const issuedAt = Math.floor(timeMs / 1000);
  const jwt = new SignJWT()
    .setProtectedHeader({ alg, kid, typ: 'JWT' })
    .setIssuer(clientId)
    .setSubject(clientId)
    .setAudience(audience)
    .setJti(randomUUID())
    .setIssuedAt(issuedAt)
    .setExpirationTime(issuedAt + LIFETIME_S);
  try {
    return await jwt.sign(request.privateKey);
  } catch {
    // Without its cause: a library's error may print the key.
    throw new RekeydError(
      'key_invalid',
      `Key ${kid} cannot sign with ${alg}: it is not a private key of that kind. Generate or import another.`,
    );
  }
}
