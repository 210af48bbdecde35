/** The client that a page or an action is about. */
import { type ClientRef, parseReference, REFERENCE } from '../../core/client.ts';
import { soon } from '../patience.ts';
import { mayTouch, notKnown } from '../principal.ts';
import type { PageCall } from './routes.ts';

type Call = Pick<PageCall, 'context' | 'visitor'>;

/** @throws ProblemError 404 also for a client that the visitor may not see */
export function visibleRef(text: string, { visitor }: Pick<Call, 'visitor'>): ClientRef {
  const ref = REFERENCE.test(text) ? parseReference(text) : null;
  if (ref === null || !mayTouch(visitor.principal, ref)) throw notKnown(`The client ${text}`);
  return ref;
}

/** @throws ProblemError 404 also where the client has vanished while its page was open */
export async function knownClient(text: string, call: Call): Promise<ClientRef> {
  const ref = visibleRef(text, call);
  if ((await soon(call.context.resources.store.lastOp(ref))) === null) throw notKnown(`The client ${ref}`);
  return ref;
}

/** By the path of the page. */
export function pathOf({ deployment = '', app = '', client = '' }: PageCall['params']): string {
  return `${deployment}/${app}/${client}`;
}

/** The client of the path. @throws ProblemError 404 */
export function clientOf(call: PageCall): Promise<ClientRef> {
  return knownClient(pathOf(call.params), call);
}
