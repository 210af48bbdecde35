/** What a request came to, as it is told. */
import type { z } from 'zod';
import type { RequestResult } from '../../jobs/request.ts';
import { type ClientRef, parseReference, REFERENCE } from '../core/client.ts';
import type { RotationSummary } from '../core/history.ts';
import { summaryOf } from '../status/client/rotations.ts';
import type { Store } from '../store/store.ts';
import { mayTouch, type Principal } from './principal.ts';
import type { acceptedSchema } from './routes/schemas.ts';

type Accepted = z.output<typeof acceptedSchema>;

/** Clients for which nothing was started, and why. */
export type Errors = readonly { readonly client: string; readonly message: string }[];

/** A request with more rotations is answered without their states: they have just begun. */
const MOST_LOOKED_UP = 1_000;

/** @param waitsFor why a worker put it off; null: no worker has said so */
export function pendingOf(request: string, waitsFor: string | null, errors: Errors): Accepted {
  return {
    ...{ request, rotations: [], pending: true },
    ...(waitsFor !== null && { waits_for: waitsFor }),
    ...(errors.length > 0 && { errors: [...errors] }),
  };
}

/** @param more errors beside those of the result */
export async function acceptedOf(
  store: Store,
  request: string,
  result: RequestResult,
  more: Errors,
): Promise<Accepted> {
  const { rotations, errors = [], skipped = [], taken_over: takenOver = [] } = result;
  const states = await statesOf(store, rotations);
  const failed = [...more, ...errors];
  return {
    request,
    rotations: rotations.map((rotation) => ({ ...rotation, ...states.get(rotation.id) })),
    pending: false,
    ...(failed.length > 0 && { errors: failed }),
    ...(skipped.length > 0 && { skipped: [...skipped] }),
    ...(takenOver.length > 0 && { taken_over: [...takenOver] }),
  };
}

/** Without the clients that the caller may not see. */
export function onlyFor(principal: Principal, result: RequestResult): RequestResult {
  if (principal.only === null) return result;
  const isFor = ({ client }: { readonly client: string }) =>
    REFERENCE.test(client) && mayTouch(principal, parseReference(client));
  const { rotations, errors = [], skipped = [], taken_over: takenOver = [] } = result;
  return {
    rotations: rotations.filter(isFor),
    errors: errors.filter(isFor),
    skipped: skipped.filter(isFor),
    taken_over: takenOver.filter(isFor),
  };
}

/** By rotation. */
async function statesOf(
  store: Store,
  rotations: readonly { readonly id: string; readonly client: ClientRef }[],
): Promise<ReadonlyMap<string, { readonly state: RotationSummary['state'] }>> {
  if (rotations.length > MOST_LOOKED_UP) return new Map();
  const records = await store.loadMany(rotations.map(({ client }) => client));
  const found = rotations.map(async ({ id, client }) => {
    const summary = await summaryOf(store, id, client, records.get(client)?.record);
    return summary === undefined ? [] : [[id, { state: summary.state }] as const];
  });
  return new Map((await Promise.all(found)).flat());
}
