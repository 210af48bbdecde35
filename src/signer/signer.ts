import { join } from 'node:path';
import { openChoice } from './choice.ts';
import { backdatedTimes, exactTimes, lifetimeOf, signAssertion, type Times } from './claims.ts';
import { clockError, correctionAfter, type Journey, MOST_CORRECTED } from './clock.ts';
import type { SignerError } from './error.ts';
import type { KeyRole, KeySet, SigningKey } from './folder.ts';
import { holdKeys, noKey } from './held.ts';
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

/** What the caller of {@link Signer.authenticate} gives. */
interface Login<T> {
  readonly send: (assertion: string, info: KeyInfo) => Promise<T>;
  readonly request: AssertionOptions;
}

/** One request of a login, and its answer. */
interface Attempt<T> {
  readonly answer: T;
  readonly isRefused: boolean;
  readonly times: Times;
  /** ms by which this machine's clock was corrected for it. */
  readonly corrected: number;
  readonly journey: Journey;
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
  const choice = openChoice();
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
    void reporter?.report({ kids, signing: choice.first(held.set)?.kid ?? null });
  }

  /** @throws SignerError `no_key` */
  function keyOf(set: KeySet): SigningKey {
    const key = choice.first(set);
    if (key === undefined) throw noKey(folder);
    return key;
  }

  function timesOf({ lifetime, clock }: AssertionOptions, corrected: number): Times {
    const seconds = lifetimeOf(lifetime);
    return clock === undefined ? backdatedTimes(now() + corrected, seconds) : exactTimes(clock(), seconds);
  }

  /** One request, with an assertion by this key. */
  async function attempt<T extends Answer>(
    { send, request }: Login<T>,
    key: SigningKey,
    corrected: number,
  ): Promise<Attempt<T>> {
    const times = timesOf(request, corrected);
    const assertion = await signAssertion(held.set.clientId, key, request.audience, times);
    const sent = now();
    const answer = await send(assertion, { kid: key.kid, role: key.role });
    const journey = { sent, received: now() };
    return { answer, isRefused: await isRefusal(answer), times, corrected, journey };
  }

  /** What a refusal says of this machine's clock, as {@link correctionAfter}. Tells the application. */
  function measure({ answer, times, journey }: Attempt<Answer>, { clock }: AssertionOptions): number | null {
    const date = clock === undefined ? dateOf(answer) : null;
    const measured = date === null ? null : correctionAfter(date, times, journey);
    if (measured !== null && measured !== 0) onClockError(clockError(measured));
    return measured;
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
      const login = { send, request };
      const first = keyOf(await latest());
      let tried = await attempt(login, first, correction);
      if (!tried.isRefused) return tried.answer;

      // Before another key is tried: with wrong times that one is refused, too, and a good key passes for a bad one.
      const measured = measure(tried, request);
      if (measured !== null && Math.abs(measured) <= MOST_CORRECTED) {
        await discard(tried.answer);
        tried = await attempt(login, first, measured);
        if (isAccepted(tried.answer)) correction = measured;
        if (!tried.isRefused) return tried.answer;
      }

      // Looked up anew: the refusal may be how this process learns that the keys were changed a moment ago.
      const newer = await latest({ isPatient: true });
      const other = choice.insteadOf(first, newer);
      if (other === undefined) return tried.answer;
      await discard(tried.answer);
      const last = await attempt(login, other, tried.corrected);
      if (isAccepted(last.answer)) {
        choice.accepted(other, newer);
        // What another request has measured meanwhile stays.
        if (measured !== null) correction = last.corrected;
      } else if (last.isRefused) choice.refused();
      report();
      return last.answer;
    },

    async close() {
      stopLooking();
      // A volume that hangs must not keep an application from ending.
      if (reporter !== null) await within(CLOSING_MS, reporter.close(), () => new Error()).catch(() => {});
    },
  };
}
