import { join } from 'node:path';
import { backdatedTimes, exactTimes, lifetimeOf, signAssertion, type Times } from './claims.ts';
import { clockError, correctionAfter, MOST_CORRECTED } from './clock.ts';
import type { SignerError } from './error.ts';
import type { KeyRole, KeySet, SigningKey } from './folder.ts';
import { firstKey, holdKeys, noKey } from './held.ts';
import { type Answer, dateOf, discard, isAccepted, isRefusal } from './refusal.ts';
import { openReporter } from './reports.ts';
import { harmless, warnings } from './telling.ts';
import { every, now as systemClock, within } from './time.ts';

/** Of a callback that is absent, the process prints a warning instead, of each kind once a minute at most. */
export interface SignerOptions {
  /**
   * Told when the folder changed but its set is not taken: it cannot be read, has no key to sign with, or is another client's. The signer goes on with
   * the last set that worked.
   */
  readonly onReloadError?: (error: unknown) => void;
  /** Told when the server refused an assertion for its times: this machine's clock is wrong. */
  readonly onClockError?: (error: SignerError) => void;
  /**
   * The folder that reports go to, for rekeyd: which keys this process holds, and which one it signs with. `signers/` in the key folder when absent, as
   * rekeyd makes it; false: nothing is reported, and nothing is read but before a signature.
   */
  readonly reports?: string | false;
  /** Told (`report_failed`) when a report could not be written, although its folder is there. */
  readonly onReportError?: (error: SignerError) => void;
  /** Milliseconds since the Unix epoch; this machine's clock when absent. */
  readonly clock?: () => number;
}

export interface AssertionOptions {
  /** The `aud` claim: the endpoint's URL, or whatever else the server asks for. One text. */
  readonly audience: string;
  /** Seconds from `iat` to `exp`, 1 to 300; 60 when absent. `iat` is a sixth of it before now, at most 10 s. */
  readonly lifetime?: number;
  /** Milliseconds since the Unix epoch: `iat` is exactly that, and nothing is corrected. */
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
   * One client assertion (RFC 7523 section 3) with a fresh `jti`, signed by the current key; by the next one while there is no current. While the server
   * takes another key in its place, by that one.
   *
   * @throws SignerError `no_key`
   */
  assertion(options: AssertionOptions): Promise<KeyInfo & { readonly assertion: string }>;
  /**
   * Sends a request that carries an assertion. When the server refuses it ({@link Answer}: 401, or 400 `invalid_client` or
   * `invalid_request`), sends it once more with the other key: the server may be a step ahead of this folder, or a step behind. While it is,
   * the key that was accepted instead comes first. When the answer's `Date` says that the assertion was refused for its times, sends it first
   * with the same key and times by the server's clock.
   *
   * @param send makes the request anew on each call: at most twice, and three times where the clock is wrong
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

/** How long, in ms, a signer that is closed waits until its report is taken back. */
const CLOSING_MS = 2_000;

/**
 * Opens a client's folder of rekeyd's directory sink. The folder is looked at again before each signature (one `stat`), which works on every volume, also
 * where nothing can be watched. Nothing of it keeps the process alive.
 *
 * @throws SignerError `folder_unreadable`
 */
export async function openSigner(folder: string, options: SignerOptions = {}): Promise<Signer> {
  const { reports = join(folder, 'signers'), clock: now = systemClock } = options;
  const warn = warnings();
  const onReportError = harmless(options.onReportError ?? warn);
  const onReloadError = harmless(options.onReloadError ?? warn);
  const onClockError = harmless(options.onClockError ?? warn);
  const held = await holdKeys(folder);
  /** While the folder's first key is refused: which one was accepted in its place. */
  let stead: { readonly first: string; readonly accepted: string } | null = null;
  /** ms to add to this machine's clock: what made a server accept an assertion that it had refused for its times. */
  let correction = 0;
  const reporter = reports === false ? null : openReporter(reports, onReportError);

  /** A folder that cannot be read for a moment must not stop logins: the keys from before are as good as they were. */
  async function latest({ tell = onReloadError, isPatient = false } = {}): Promise<KeySet> {
    try {
      await held.refresh(isPatient);
    } catch (error) {
      tell(error);
    }
    report();
    return held.set;
  }

  /** Beside the signing, which does not wait for it. */
  function report(): void {
    const kids = held.set.keys.map(({ kid }) => kid);
    void reporter?.report({ kids, signing: signingKey(held.set)?.kid ?? null });
  }

  /** The key of a set that comes first now. */
  function signingKey(set: KeySet): SigningKey | undefined {
    const first = firstKey(set);
    return (stead?.first === first?.kid && set.keys.find(({ kid }) => kid === stead?.accepted)) || first;
  }

  /** @throws SignerError `no_key` */
  function keyOf(set: KeySet): SigningKey {
    const key = signingKey(set);
    if (key === undefined) throw noKey(folder);
    return key;
  }

  function timesOf({ lifetime, clock }: AssertionOptions, corrected: number): Times {
    const seconds = lifetimeOf(lifetime);
    return clock === undefined ? backdatedTimes(now() + corrected, seconds) : exactTimes(clock(), seconds);
  }

  // What cannot be read now is told by the next signature.
  const stopLooking = reporter === null ? () => {} : every(LOOK_MS, () => void latest({ tell: () => {} }));
  report();

  return {
    get clientId() {
      return held.set.clientId;
    },

    async assertion(request) {
      const set = await latest();
      const key = keyOf(set);
      const assertion = await signAssertion(set.clientId, key, request.audience, timesOf(request, correction));
      return { assertion, kid: key.kid, role: key.role };
    },

    async authenticate(send, request) {
      async function attempt(key: SigningKey, corrected: number) {
        const times = timesOf(request, corrected);
        const assertion = await signAssertion(held.set.clientId, key, request.audience, times);
        const sent = now();
        const answer = await send(assertion, { kid: key.kid, role: key.role });
        const journey = { sent, received: now() };
        return { answer, isRefused: await isRefusal(answer), times, journey };
      }

      const first = keyOf(await latest());
      let corrected = correction;
      let tried = await attempt(first, corrected);
      if (!tried.isRefused) return tried.answer;

      // Before another key is tried: with wrong times that one is refused, too, and a good key passes for a bad one.
      const date = request.clock === undefined ? dateOf(tried.answer) : null;
      const measured = date === null ? null : correctionAfter(date, tried.times, tried.journey);
      if (measured !== null) {
        if (measured !== 0) onClockError(clockError(measured));
        if (Math.abs(measured) <= MOST_CORRECTED) {
          corrected = measured;
          await discard(tried.answer);
          tried = await attempt(first, corrected);
          if (isAccepted(tried.answer)) correction = corrected;
          if (!tried.isRefused) return tried.answer;
        }
      }

      // Looked up anew: the refusal may be how this process learns that the keys were changed a moment ago.
      const newer = await latest({ isPatient: true });
      const others = newer.keys.filter(({ kid }) => kid !== first.kid);
      /** Found by another request of this process in the meantime. */
      const found = stead?.first === first.kid ? others.find(({ kid }) => kid === stead?.accepted) : undefined;
      const other = found ?? others.find(({ kid }) => kid !== stead?.first) ?? others[0];
      if (found === undefined) stead = null;
      if (other === undefined) return tried.answer;
      await discard(tried.answer);
      const second = await attempt(other, corrected);
      if (isAccepted(second.answer)) {
        stead = { first: firstKey(newer)?.kid ?? other.kid, accepted: other.kid };
        // What another request has measured meanwhile stays.
        if (measured !== null) correction = corrected;
      } else if (second.isRefused) stead = null;
      report();
      return second.answer;
    },

    async close() {
      stopLooking();
      // A volume that hangs must not keep an application from ending.
      if (reporter !== null) await within(CLOSING_MS, reporter.close(), () => new Error()).catch(() => {});
    },
  };
}
