/** The audit entry of a PATCH that failed: with its status, and so that a client which fails for days does not fill the log. */
import type { Owner, Purpose } from './action.ts';
import { desiredKids } from './desired.ts';
import type { ClientRecord } from './record.ts';
import type { ServerSide } from './server.ts';
import { triesOf } from './setback.ts';
import { entry, type On, type Transition, UPKEEP } from './transition.ts';

/** Why a document is sent, and for whom. */
export interface Sender {
  readonly purpose: Purpose;
  readonly owner: Owner;
}

export interface PublishFailure {
  /**
   * Of the answer, as the design's table has it. `conflict`: the server shows something else than what was sent. `not_sent`: nothing left this machine.
   * `not_written`: the set that we serve ourselves could not be written.
   */
  readonly class:
    | 'refused'
    | 'forbidden'
    | 'credential'
    | 'throttled'
    | 'unknown'
    | 'conflict'
    | 'not_sent'
    | 'not_written';
  /** Null: there was no answer. */
  readonly status: number | null;
  readonly error: string;
  readonly durationMs: number;
}

/** Of a row of failures, so many have an entry each. After them one an hour tells how many it stands for. */
const EACH_TOLD = 10;
const HOUR_MS = 3_600_000;

/** Comes before what the failure does to the record. */
export function publishFailed(record: ClientRecord, sender: Sender, failure: PublishFailure, now: number): Transition {
  const { failing = { row: 0, untold: 0, toldAt: 0 } } = record.server;
  const row = failing.row + 1;
  const times = failing.untold + 1;
  const isTold = row <= EACH_TOLD || now - failing.toldAt >= HOUR_MS;
  const next = isTold ? { row, untold: 0, toldAt: now } : { ...failing, row, untold: times };
  const changed: ClientRecord = { ...record, server: { ...record.server, failing: next } };
  if (!isTold) return { record: changed, entries: [] };
  const { class: kind, status, error, durationMs } = failure;
  const data = {
    purpose: sender.purpose,
    kids: desiredKids(record),
    attempt: triesOf(record, sender.owner).failed + 1,
    class: kind,
    status,
    error,
    duration_ms: Math.round(durationMs),
    times,
  };
  return { record: changed, entries: [entry(record, senderOf(record, sender.owner), 'key.publish_failed', data)] };
}

/** A document arrived. */
export function withoutFailing({ failing: _, ...server }: ServerSide): ServerSide {
  return server;
}

/** The rotation that a document is sent for; upkeep where there is none. */
export function senderOf({ rotation }: ClientRecord, owner: Owner): On {
  if (typeof owner !== 'string') return owner.rotation;
  return owner === 'rotation' && rotation !== null ? rotation : UPKEEP;
}
