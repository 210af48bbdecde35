/**
 * Asking for rotations on the page. The first form leads to a page that shows what would happen. A second form, on that page, makes the request, which goes the
 * way of `POST /v1/rotations`.
 */
import { type DryRun, dryRun } from '../../../../jobs/plan/dry-run.ts';
import { type Request, requestSchema } from '../../../../jobs/schemas.ts';
import { hasCode, messageOf } from '../../../errors.ts';
import { checkedRequest } from '../../ask.ts';
import { enqueue } from '../../enqueue.ts';
import { ProblemError } from '../../problem.ts';
import type { PageAnswer, PageCall } from '../routes.ts';
import { causeOf, once } from './doing.ts';
import { dryRunPage, takenPage } from './dry-run.ts';
import { newNonce } from './fields.ts';
import { keepRequest, keptRequest } from './kept-request.ts';

type Asked = Pick<Request, 'select'> & Partial<Omit<Request, 'select' | 'v' | 'reason' | 'actor' | 'claim'>>;

/** Of one kind of request. */
export interface Place {
  /** Where both forms go. What would happen is shown below it. */
  readonly action: string;
  /** The page with the first form. */
  readonly form: string;
  /** Where the link `Do nothing` leads. */
  readonly back: string;
}

/** Fields that the second form has of its own. */
const OWN = ['csrf', 'nonce', 'step', 'confirm'];

/** @throws ProblemError 400, 403, 422, 503 */
export async function rotateOrShow(call: PageCall, asked: Asked, { action }: Place): Promise<PageAnswer> {
  const { context, visitor, form, address } = call;
  const { actor, reason, claimedBy } = causeOf(call);
  const wanted = requestSchema.parse({ v: 1, ...asked, reason, actor, confirm: form.has('confirm') });
  const { request } = checkedRequest(wanted, visitor.principal, context.resources.config);
  const filledIn = { action, request, fields: [...form].filter(([name]) => !OWN.includes(name)) };
  if (form.get('step') !== 'confirm') {
    const id = newNonce();
    await keepRequest(call, { ...filledIn, id, taken: null });
    return { to: `${action}/${id}` };
  }
  return once(call, { do: 'rotate', request }, async ({ request: id, key, nonce }) => {
    const by = { route: `POST ${routeOf(asked)}`, address, once: key };
    await enqueue({ request, id, claimedBy, call: by }, context);
    const to = `/requests/${id}`;
    await keepRequest(call, { ...filledIn, id: nonce, taken: to });
    return { to, notice: 'The request is taken.' };
  });
}

/** What the request would do that the first form asked about, as of now. @throws ProblemError 403, 422 */
export async function showDryRun(call: PageCall, place: Place): Promise<PageAnswer> {
  const { context, visitor, params } = call;
  const kept = await keptRequest(call, params.asked ?? '');
  if (kept === null || kept.action !== place.action) return { to: place.form, notice: GONE };
  if (kept.taken !== null) return takenPage(kept.taken, place);
  const { request } = checkedRequest(kept.request, visitor.principal, context.resources.config);
  return dryRunPage(visitor, { ...kept, request }, await seen(dryRun(request, context.resources)), place);
}

const GONE =
  'What would happen is shown for an hour, and to the session that asked. That is over, and nothing was done. Fill in the form again.';

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
