/**
 * The record of one client: all that a worker needs to know to go on after any crash. It is plain JSON, holds public material only, and changes only
 * through transitions. Times are milliseconds since the Unix epoch on the store's clock.
 *
 * Its parts have a file each: {@link ./rotation.ts}, {@link ./retirement.ts}, {@link ./server.ts}, {@link ./signers.ts}. Rotations that ended stand in a
 * list beside it ({@link ./history.ts}).
 */
import type { Declined } from './adoption.ts';
import type { ClientRef } from './client.ts';
import type { PublishedKey } from './document.ts';
import type { Drift, Settled } from './drift.ts';
import type { FormerKey, ManagedKey } from './keys.ts';
import type { Retirement } from './retirement.ts';
import type { Rotation } from './rotation.ts';
import type { ServerSide } from './server.ts';
import type { Signers } from './signers.ts';
import type { Standby } from './standby.ts';

/**
 * `found`: its active key is not ours. `held`: its key was imported, but nobody has shown that the application takes its key from us. `enrolled`: a signer
 * reported that it signs with a key of ours, or a person said so. Schedules leave the first two alone.
 */
export type Enrolment = 'found' | 'held' | 'enrolled';

export interface ClientRecord {
  readonly v: 2;
  readonly ref: ClientRef;
  /** The OAuth `client_id`: `iss` and `sub` of its assertions. */
  readonly clientId: string;
  readonly foundAt: number;
  readonly enrolment: Enrolment;
  readonly keys: readonly ManagedKey[];
  /** Newest last. */
  readonly former: readonly FormerKey[];
  readonly rotation: Rotation | null;
  readonly retirements: readonly Retirement[];
  readonly server: ServerSide;
  readonly signers: Signers;
  /** Why the latest rotation ended without a new key; null once one brought a key in. */
  readonly failure: string | null;
  /** A key that is kept ready; absent where none is wanted or made yet. */
  readonly standby?: Standby;
  /** A key of ours was offered to its application, and not taken. */
  readonly declined?: Declined;
  /** What the server shows that we did not publish; absent: nothing. */
  readonly drift?: Drift;
  /** The last decision about drift, until a rotation brings a new key in. */
  readonly settled?: Settled;
  /** Foreign keys that are put back, because a person wants them again. */
  readonly restores?: readonly PublishedKey[];
  /** A person has to look: nothing is done for this client until somebody asks. */
  readonly halted: string | null;
  /** A person took the key back: schedules leave the client alone whatever its policy says, until somebody gives it to us again. */
  readonly released?: true;
  /** The store was lost or rolled back, so it may be outdated: nothing is done before the server is looked at. See {@link ./doubt.ts}. */
  readonly doubted?: true;
}
