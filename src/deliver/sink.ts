import type { KeyObject } from 'node:crypto';
import type { ClientRef } from '../core/client.ts';
import type { PublicJwk } from '../core/document.ts';
import type { Algorithm } from '../core/keys.ts';
import type { Delivery, SignerReport } from '../core/signers.ts';
import { RekeydError } from '../errors.ts';

/** The place holds a set that was delivered under a later claim. */
export class SinkOutdated extends RekeydError {
  /** Of that claim. */
  readonly epoch: number;

  constructor(path: string, epoch: number) {
    super(
      'sink_outdated',
      `${path} holds keys that were delivered under a later claim (${epoch}): by another worker, or by another store. They were left as they are.`,
    );
    this.epoch = epoch;
  }
}

/**
 * The error of a delivery that failed. Signers still have a whole set: the one from before, or the new one.
 * @param hint what to do, without a full stop
 */
export function sinkFailed(place: string, why: string, hint: string): RekeydError {
  return new RekeydError(
    'sink_failed',
    `Keys cannot be delivered to ${place}: ${why}. Signers keep the set that they have. ${hint}.`,
  );
}

/** A key with its private half, on its way to those who sign. */
export interface SinkKey {
  readonly kid: string;
  readonly alg: Algorithm;
  /** The standard public members. */
  readonly jwk: PublicJwk;
  readonly privateKey: { keyObject(): KeyObject };
}

/** All that signers of one client need. A delivery is whole: what is not in it is taken away from them. */
export interface SinkContents {
  readonly ref: ClientRef;
  /** The OAuth `client_id`. */
  readonly clientId: string;
  /** Where assertions go; null when it is not known. */
  readonly issuer: string | null;
  /** Of the key that signs; null when there is none. */
  readonly alg: Algorithm | null;
  readonly current: SinkKey | null;
  readonly next: SinkKey | null;
  readonly previous: SinkKey | null;
  /** Milliseconds since the Unix epoch. */
  readonly updatedAt: number;
  /** Of the claim under which this was read. A set of a later claim is not replaced. */
  readonly epoch: number;
}

/** A place that private keys are handed to. Only sinks that the config names ever see one in clear. */
export interface Sink {
  /** For messages, never a secret. */
  readonly name: string;
  /** Where signers find the keys of this client, for messages. */
  placeOf(ref: ClientRef): string;
  /**
   * Replaces all that the sink holds for this client, in one step. Idempotent: the same contents leave the same set.
   *
   * @throws RekeydError `sink_failed`; signers still have a complete set, and the delivery can be repeated
   * @throws SinkOutdated when a set of a later epoch is there
   */
  deliver(contents: SinkContents): Promise<void>;
  /**
   * Opens an app (`deployment/slug`) for reading. The function that it answers says which keys the set of one client holds. Its answer is null when there is
   * no set, or none that can be read: the next delivery then says what is wrong. Null in place of all this: the sink cannot be asked what it holds.
   *
   * @throws RekeydError `sink_failed`, at either call, when the sink itself cannot be read: that says nothing of a set
   */
  readonly sets: ((app: string) => Promise<(ref: ClientRef) => Promise<Delivery | null>>) | null;
  /**
   * What the client's signers report there. It is not checked yet: it may be false, or old. Rejects when it cannot be read. Null: signers cannot report
   * through this sink.
   */
  readonly reports: ((ref: ClientRef) => Promise<readonly SignerReport[]>) | null;
  /** What keeps this sink from working and what to do about it, or null. */
  check(): Promise<string | null>;
  /** Ends connections and threads. Calls under way may fail. */
  close(): void;
}
