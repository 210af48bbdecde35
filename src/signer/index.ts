/**
 * `rekeyd/signer`: signs the client assertions of an application with the keys that rekeyd rotates.
 *
 * ```ts
 * const signer = await openSigner('/var/lib/rekeyd/keys/185019846023/mcp-auth/4711');
 * const response = await signer.authenticate(
 *   (assertion) => fetch(tokenUrl, { method: 'POST', body: tokenRequest(assertion) }),
 *   { audience: tokenUrl },
 * );
 * ```
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { SignJWT } from 'jose';
import { SignerError } from './error.ts';
import { type KeyRole, type KeySet, latestVersionOf, readKeySet, type SigningKey } from './folder.ts';
import { type Answer, discard, isRefusal } from './refusal.ts';
import { openReporter } from './reports.ts';
import { every } from './time.ts';

export { SignerError, type SignerErrorCode } from './error.ts';
export type { KeyRole } from './folder.ts';
export type { Answer } from './refusal.ts';

/** Value of `client_assertion_type` beside the assertion (RFC 7523 section 2.2). */
export const CLIENT_ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

export interface SignerOptions {
  /** Told when the folder changed but cannot be read; the signer goes on with the keys that it has. */
  readonly onReloadError?: (error: unknown) => void;
  /**
   * The folder that reports go to, for rekeyd: which keys this process holds, and which one it signs with. `signers/` in the key folder when absent, as
   * rekeyd makes it; false: nothing is reported, and nothing is read but before a signature.
   */
  readonly reports?: string | false;
  /** Told when a report could not be written, although its folder is there. */
  readonly onReportError?: (error: unknown) => void;
}

export interface AssertionOptions {
  /** The `aud` claim: the endpoint's URL, or whatever else the server asks for. */
  readonly audience: string;
  /** Seconds until the assertion expires, 1 to 300; 60 when absent. rekeyd keeps an old key for longer than that. */
  readonly lifetime?: number;
  /** Milliseconds since the Unix epoch; this machine's clock when absent. */
  readonly clock?: () => number;
}

export interface KeyInfo {
  readonly kid: string;
  readonly role: KeyRole;
}

export interface Signer {
  /** The OAuth `client_id`. */
  readonly clientId: string;
  /**
   * One client assertion (RFC 7523 section 3) with a fresh `jti`, signed by the current key; by the next one while there is no current.
   *
   * @throws SignerError `no_key`
   */
  assertion(options: AssertionOptions): Promise<KeyInfo & { readonly assertion: string }>;
  /**
   * Sends a request that carries an assertion. When the server refuses it ({@link Answer}: 401, or 400 `invalid_client` or
   * `invalid_request`), sends it once more with the other key: the server may be a step ahead of this folder, or a step behind. While it is,
   * the key that was accepted instead comes first.
   *
   * @param send makes the request anew on each call: at most twice
   * @returns the last answer, whatever it says
   * @throws SignerError `no_key`, and what `send` throws
   */
  authenticate<T extends Answer>(
    send: (assertion: string, info: KeyInfo) => Promise<T>,
    options: AssertionOptions,
  ): Promise<T>;
  /** Takes the report of this process back. What is signed afterwards is signed as before. A process that ends without it is forgotten after two minutes. */
  close(): Promise<void>;
}

/** How often, in ms, a signer that signs nothing looks for new keys, so that rekeyd hears that it has them. */
const LOOK_MS = 5_000;

/**
 * Opens a client's folder of rekeyd's directory sink. The folder is looked at again before each signature (one `stat`), so there is nothing
 * to watch or to restart. Nothing of it keeps the process alive.
 *
 * @throws SignerError `folder_unreadable`
 */
export async function openSigner(folder: string, options: SignerOptions = {}): Promise<Signer> {
  let held = await readKeySet(folder);
  /** While the folder's first key is refused: which one was accepted in its place. */
  let stead: { readonly first: string; readonly accepted: string } | null = null;
  const { reports = join(folder, 'signers'), onReportError = () => {} } = options;
  const reporter = reports === false ? null : openReporter(reports, onReportError);

  /** A folder that cannot be read for a moment must not stop logins: the keys from before are as good as they were. */
  async function latest(onError = options.onReloadError): Promise<KeySet> {
    try {
      if ((await latestVersionOf(folder)) !== held.version) held = await readKeySet(folder);
    } catch (error) {
      onError?.(error);
    }
    report();
    return held;
  }

  /** Beside the signing, which does not wait for it. */
  function report(): void {
    const kids = held.keys.map(({ kid }) => kid);
    void reporter?.report({ kids, signing: signingKey(held)?.kid ?? null });
  }

  /** The key of a set that comes first now. */
  function signingKey(set: KeySet): SigningKey | undefined {
    const current = set.keys.find(({ role }) => role !== 'previous');
    return (stead?.first === current?.kid && set.keys.find(({ kid }) => kid === stead?.accepted)) || current;
  }

  // What cannot be read now is told by the next signature.
  const stopLooking = reporter === null ? () => {} : every(LOOK_MS, () => void latest(() => {}));
  report();

  return {
    get clientId() {
      return held.clientId;
    },
    async assertion(request) {
      const set = await latest();
      const key = firstKey(set, folder);
      return { assertion: await sign(set, key, request), kid: key.kid, role: key.role };
    },
    async authenticate(send, request) {
      const set = await latest();
      const first = signingKey(set) ?? firstKey(set, folder);
      const answer = await send(await sign(set, first, request), { kid: first.kid, role: first.role });
      if (!(await isRefusal(answer))) return answer;
      // Looked up anew: the refusal may be how this process learns that the keys were changed a moment ago.
      const newer = await latest();
      const others = newer.keys.filter(({ kid }) => kid !== first.kid);
      const other = others.find(({ kid }) => kid !== stead?.first) ?? others[0];
      stead = null;
      if (other === undefined) return answer;
      await discard(answer);
      const second = await send(await sign(newer, other, request), { kid: other.kid, role: other.role });
      if (!(await isRefusal(second))) stead = { first: firstKey(newer, folder).kid, accepted: other.kid };
      report();
      return second;
    },
    async close() {
      stopLooking();
      await reporter?.close();
    },
  };
}

function firstKey({ keys }: KeySet, folder: string): SigningKey {
  const key = keys.find(({ role }) => role !== 'previous');
  if (key !== undefined) return key;
  throw new SignerError(
    'no_key',
    `The key folder ${folder} holds no key to sign with. See what "rekeyd status" says about this client.`,
  );
}

async function sign({ clientId }: KeySet, { kid, alg, key }: SigningKey, options: AssertionOptions): Promise<string> {
  const { audience, lifetime = 60, clock } = options;
  if (!Number.isInteger(lifetime) || lifetime < 1 || lifetime > 300) {
    throw new RangeError(`lifetime is ${lifetime}, but must be a whole number of seconds from 1 to 300`);
  }
  const issuedAt = clock === undefined ? undefined : Math.floor(clock() / 1000);
  return new SignJWT()
    .setProtectedHeader({ alg, kid, typ: 'JWT' })
    .setIssuer(clientId)
    .setSubject(clientId)
    .setAudience(audience)
    .setJti(randomUUID())
    .setIssuedAt(issuedAt)
    .setExpirationTime(issuedAt === undefined ? `${lifetime}s` : issuedAt + lifetime)
    .sign(key);
}
