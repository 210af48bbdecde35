/**
 * A request that a visitor has filled in, kept until it is confirmed. So what it would do has an address of its own: Back and reload show it again, and neither
 * the reason nor anything else of the request stands in the address.
 */
import { type Request, requestSchema } from '../../../../jobs/schemas.ts';
import { soon } from '../../patience.ts';
import type { PageCall } from '../routes.ts';
import { hashOf, sealed, unsealed } from '../session/session.ts';

export interface KeptRequest {
  /** The last part of its address, and the number of the form that confirms it: confirmed twice, it is one request. */
  readonly id: string;
  /** The path that its form goes to. */
  readonly action: string;
  readonly request: Request;
  /** Of the first form. The second form sends them again. */
  readonly fields: readonly (readonly [name: string, value: string])[];
  /** The path of the request that came of it; null: it is not confirmed. */
  readonly taken: string | null;
}

/** For an hour after the last one of the session, and so many of a session. */
const LIFE = { ms: 3_600_000, most: 20 } as const;

const WHAT = 'request to confirm';

/** @throws RekeydError `redis_unreachable`, `not_durable` */
export async function keepRequest({ context, visitor }: PageCall, kept: KeptRequest): Promise<void> {
  const { id } = visitor.session;
  const text = sealed(id, WHAT, JSON.stringify(kept));
  await soon(context.resources.store.keepText(hashOf(id), text, LIFE));
}

/** As it was kept last. Null: there is none, it is over, or another session has it. @throws RekeydError `redis_unreachable` */
export async function keptRequest({ context, visitor }: PageCall, wanted: string): Promise<KeptRequest | null> {
  const { id } = visitor.session;
  for (const text of await soon(context.resources.store.keptTexts(hashOf(id)))) {
    const kept: KeptRequest | null = JSON.parse(unsealed(id, WHAT, text) ?? 'null'); // only `keepRequest` seals one
    // One of an older version may lack what a request has now.
    const request = requestSchema.safeParse(kept?.request).data;
    if (kept?.id === wanted && request !== undefined) return { ...kept, request };
  }
  return null;
}
