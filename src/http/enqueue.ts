/** Puts what a caller asked for into the queue of requests. */
import { noteCall } from '../../jobs/called.ts';
import { type ApiCall, claimed } from '../../jobs/claim.ts';
import { type RequestInput, requestSchema } from '../../jobs/schemas.ts';
import { keksOf } from '../rotation/policy.ts';
import type { ApiContext } from './route.ts';

export interface Wanted {
  readonly request: RequestInput;
  /** Of its job: a request with the same id is the same one. */
  readonly id: string;
  readonly claimedBy: string;
  readonly call: ApiCall;
}

/** The entry of the call is written before the job is there. @throws RekeydError `redis_unreachable`, `not_durable` */
export async function enqueue(
  { request, id, claimedBy, call }: Wanted,
  { resources: { store, config }, queues }: Pick<ApiContext, 'resources' | 'queues'>,
): Promise<void> {
  const signing = { store, keks: keksOf(config) };
  const [signed] = await Promise.all([
    claimed(request, id, claimedBy, signing, call),
    noteCall({ asked: requestSchema.parse(request), job: id, claimedBy, call }, store),
  ]);
  await queues.request(signed, id);
}
