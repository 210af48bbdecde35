/** What the core needs to know of a client's policy. Durations in milliseconds. */
import type { Format } from './document.ts';
import type { AppFacts } from './findings.ts';
import type { Algorithm } from './keys.ts';

export interface Policy {
  /** `keep`: what the client has. */
  readonly alg: Algorithm | 'keep';
  readonly strategy: 'auto' | 'overlap' | 'cutover';
  /** `keep`: as the client has it. */
  readonly format: Format | 'keep';
  readonly embedPem: boolean;
  readonly foreignKeys: 'keep' | 'retire';
  /** What may happen to a client with an active key that is not ours. See {@link ./adoption.ts} about `overlap`. */
  readonly adopt: 'import' | 'overlap' | 'take_over';
  /** How long a key of ours is offered to the application of a found client. */
  readonly adoptTimeoutMs: number;
  readonly rotateEveryMs: number;
  /** Age of a key at which late becomes an alarm: beyond `rotateEveryMs`. */
  readonly mustByMs: number;
  readonly splayMs: number;
  /** A key is kept ready for the next rotation. */
  readonly standby: boolean;
  readonly propagationMs: number;
  readonly overlapMs: number;
  readonly prove: 'required' | 'read_back';
  /** A cutover that is not proven by then is rolled back. */
  readonly proveWithinMs: number;
  /** A cutover waits until so many signers have reported the new key. */
  readonly requireReady: number;
  /** A rotation that signers keep waiting is given up after that long, while nothing of it is published; after that it is told. */
  readonly readyTimeoutMs: number;
  /** Failures in a row of one step before a rotation is given up. */
  readonly attempts: number;
}

/** A policy as it applies to one client. */
export interface ClientPolicy extends Policy {
  /** Where this client's public set is served; null when the config names no place. */
  readonly jwksUri: string | null;
  /** What is known of the server of its app. */
  readonly facts: AppFacts;
  readonly backoff: { readonly baseMs: number; readonly maxMs: number };
}

/** What every transition is given beside the record: nothing in the core reads a clock or rolls dice. */
export interface Context {
  readonly policy: ClientPolicy;
  /** Milliseconds since the Unix epoch on the store's clock. */
  readonly now: number;
  /** A number in [0, 1) for this step's jitter. */
  readonly random: number;
}

/** Exponential backoff with full jitter: anything up to `base × 2^(attempt - 1)`, never above `max`, never below a tenth of `base`. */
export function backoffMs(
  attempt: number,
  { policy, random }: { readonly policy: Pick<ClientPolicy, 'backoff'>; readonly random: number },
): number {
  const { baseMs, maxMs } = policy.backoff;
  const ceiling = Math.min(maxMs, baseMs * 2 ** Math.min(attempt - 1, 30));
  return Math.ceil(Math.max(baseMs / 10, ceiling * random));
}
