/** Asking for rotations on the page: first what would happen, then, by a second form, the request. It goes the way of `POST /v1/rotations`. */
import { type DryRun, dryRun } from '../../../../jobs/plan/dry-run.ts';
import { type Request, requestSchema } from '../../../../jobs/schemas.ts';
import { hasCode, messageOf } from '../../../errors.ts';
import { checkedRequest } from '../../ask.ts';
import { enqueue } from '../../enqueue.ts';
import { ProblemError } from '../../problem.ts';
import type { PageAnswer, PageCall } from '../routes.ts';
import { causeOf, once } from './doing.ts';
import { dryRunPage, type Place } from './dry-run.ts';

type Asked = Pick<Request, 'select'> & Partial<Omit<Request, 'select' | 'v' | 'reason' | 'actor' | 'claim'>>;

/** @throws ProblemError 400, 403, 422, 503 */
export async function rotateOrShow(call: PageCall, asked: Asked, place: Place): Promise<PageAnswer> {
  const { context, visitor, form, address } = call;
  const { actor, reason, claimedBy } = causeOf(call);
  const wanted = requestSchema.parse({ v: 1, ...asked, reason, actor, confirm: form.has('confirm') });
  const { request } = checkedRequest(wanted, visitor.principal, context.resources.config);
  if (form.get('step') !== 'confirm') {
    return dryRunPage(call, request, await seen(dryRun(request, context.resources)), place);
  }
  return once(call, { do: 'rotate', request }, async ({ request: id, key }) => {
    const by = { route: `POST ${routeOf(asked)}`, address, once: key };
    await enqueue({ request, id, claimedBy, call: by }, context);
    return { to: `/requests/${id}`, notice: 'The request is taken.' };
  });
}

/** As the audit log names it: without what was asked for. */
function routeOf({ compromised = false }: Asked): string {
  return compromised === false ? '/clients/{deployment}/{app}/{client}/rotate' : '/compromise';
}

async function seen(work: Promise<DryRun>): Promise<DryRun> {
  try {
    return await work;
  } catch (error) {
    if (hasCode(error, 'not_configured')) throw new ProblemError(422, messageOf(error));
    throw error;
  }
}
