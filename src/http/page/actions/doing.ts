/** What all actions share: the reason, the actor, and that a form that is sent twice is done once. */
import { hash } from 'node:crypto';
import { problemsOf, requestSchema } from '../../../../jobs/schemas.ts';
import type { Cause } from '../../../core/history.ts';
import { canonicalJson } from '../../../core/json.ts';
import { hasCode } from '../../../errors.ts';
import { after, sleep } from '../../../time.ts';
import { type Once, onceFor } from '../../idempotency.ts';
import { soon } from '../../patience.ts';
import { ProblemError } from '../../problem.ts';
import type { PageCall } from '../routes.ts';

/** @throws ProblemError 400 */
export function reasonIn(form: URLSearchParams): string {
  const given = form.get('reason') ?? '';
  const parsed = requestSchema.shape.reason.safeParse(given);
  if (parsed.success) return parsed.data;
  const [why = ''] = problemsOf(parsed.error, given);
  throw new ProblemError(400, `The reason ${why.replace(/^data: /, '')}. Go back, and say in a few words why.`);
}

/** Who acts, as the audit log and the records say it. */
export function causeOf({ visitor: { principal }, form }: PageCall): Cause & { readonly claimedBy: string } {
  const { claimedBy } = principal;
  return { actor: claimedBy, claimedBy, reason: reasonIn(form), request: null };
}

/** The answer to an action: the page to show next, and a sentence about what was done. */
export interface Done {
  readonly to: string;
  readonly notice: string;
}

/**
 * Does what a form asks for, once: sent a second time it is answered as the first time.
 * @param what the action, with all that it is about; another one under the same number is another action
 * @throws ProblemError 400 for a form without a number; 503 where it is not known whether it was done
 */
export async function once(
  { context, visitor, form }: PageCall,
  what: object,
  act: (once: Once & { readonly nonce: string }) => Promise<Done>,
): Promise<Done> {
  const nonce = form.get('nonce') ?? '';
  if (!/^[A-Za-z0-9_-]{22}$/.test(nonce)) {
    throw new ProblemError(
      400,
      'This form is not complete. Nothing was done. Open the page again, and send the form from there.',
    );
  }
  const { store } = context.resources;
  const about = hash('sha256', canonicalJson(what), 'base64url');
  try {
    const key = await soon(onceFor(store, visitor.principal, `page:${nonce}:${about}`, what));
    if (key.answer !== null) return key.answer as Done; // kept below
    const work = act({ ...key, nonce }).then((done) => key.keep(done));
    return (await soon(work.catch((error: unknown) => otherOr(error, key)))) as Done; // likewise
  } catch (error) {
    if (!hasCode(error, 'redis_unreachable')) throw error;
    const unsure =
      'Redis did not answer, and the action may be done already. Go back and send the same form again: it is done only once.';
    throw new ProblemError(503, unsure, { headers: { 'retry-after': '5' }, cause: error });
  }
}

/** In ms: how long the other one of two forms that were sent at once may take to be answered. */
const OTHER_MS = 3_000;
const LOOK_MS = 50;

/**
 * Two forms that are sent at once are both acted on. Where the first one is done, the second may fail because of that: the visitor, who sees the answer to the
 * second, is told that it is done.
 * @throws `error` where this form was sent once, or the other one is not done
 */
async function otherOr(error: unknown, { isRepeated, answerNow }: Once): Promise<unknown> {
  const enough = after(OTHER_MS);
  while (isRepeated && !enough.aborted) {
    const answer = await answerNow();
    if (answer !== null) return answer;
    await sleep(LOOK_MS, enough);
  }
  throw error;
}
