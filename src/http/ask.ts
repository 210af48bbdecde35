/** Puts a request of a caller into the queue, and waits a while for what it comes to. */
import { randomUUID } from 'node:crypto';
import { contradiction, type Request } from '../../jobs/schemas.ts';
import { appPaths, policyFor } from '../config/lookup.ts';
import type { Config } from '../config/model.ts';
import type { ClientRef } from '../core/client.ts';
import { hasCode, messageOf } from '../errors.ts';
import { PAGE } from '../parallel.ts';
import { enqueue } from './enqueue.ts';
import { type Once, onceFor } from './idempotency.ts';
import { acceptedOf, type Errors, pendingOf } from './outcome.ts';
import { resultOf, soon } from './patience.ts';
import { maySelect, type Principal } from './principal.ts';
import { ProblemError } from './problem.ts';
import type { Answer, Call } from './route.ts';
import type { RequestBody } from './routes/rotations.ts';

type Asked = Call<unknown, unknown, RequestBody>;

/** @throws ProblemError for what the caller is told */
export async function ask(call: Asked): Promise<Answer> {
  const { context, principal, headers } = call;
  const { store, config } = context.resources;
  const body = { ...call.body, actor: call.body.actor ?? principal.claimedBy };
  const { request, unknown } = checkedRequest(body, principal, config);
  const key = headers['idempotency-key'];
  try {
    const once = key === undefined ? null : await soon(onceFor(store, principal, key, body));
    const id = once?.request ?? `http-${randomUUID()}`;
    const location = `/v1/requests/${id}`;
    if (once !== null && once.answer !== null) return { status: 202, headers: { location }, body: once.answer };
    const by = { route: 'POST /v1/rotations', address: call.address, ...(once && { once: once.key }) };
    await soon(enqueue({ request, id, claimedBy: principal.claimedBy, call: by }, context));
    if (prefersAsync(headers.prefer)) {
      const told = { location, 'preference-applied': 'respond-async' };
      return { status: 202, headers: told, body: pendingOf(id, null, unknown) };
    }
    return { status: 202, headers: { location }, body: await answerFor(call, id, once, unknown) };
  } catch (error) {
    if (!hasCode(error, 'redis_unreachable') && !hasCode(error, 'request_lost')) throw error;
    throw new ProblemError(503, key === undefined ? LOST_WITHOUT_KEY : LOST, {
      headers: { 'retry-after': '5' },
      cause: error,
    });
  }
}

/** A request without the clients that the config does not have; `unknown` names those. */
export interface Checked {
  readonly request: Request;
  readonly unknown: Errors;
}

/** @throws ProblemError 400, 403, 422 */
export function checkedRequest(asked: Request, principal: Principal, config: Config): Checked {
  if (!maySelect(principal, asked.select)) {
    throw new ProblemError(403, `You may ask for ${principal.only} alone: select it, or clients in it.`);
  }
  const wrong = contradiction(asked);
  if (wrong !== null) throw new ProblemError(400, wrong);
  return withoutUnknown(asked, config);
}

/**
 * A request for what this config does not have would wait for a worker with another config. The caller waits too, so it is told at once.
 * @throws ProblemError 422 when nothing else is asked for
 */
function withoutUnknown(request: Request, config: Config): Checked {
  const { select } = request;
  checkNamed(select, config);
  if (!('clients' in select)) return { request, unknown: [] };
  const isKnown = (ref: ClientRef) => policyFor(config, ref) !== null;
  const clients = select.clients.filter(isKnown);
  const unknown = select.clients
    .filter((ref) => !isKnown(ref))
    .map((client) => ({ client, message: `The config has no policy for ${client}. Add its app (and the client).` }));
  if (clients.length === 0) throw nothingStarted(unknown);
  return { request: { ...request, select: { clients } }, unknown };
}

/** @throws ProblemError 422 for an app or a policy that the config does not have */
export function checkNamed(select: object, config: Config): void {
  const apps = appPaths(config);
  if ('app' in select && !apps.some((app) => app === select.app)) {
    throw new ProblemError(422, `The config has no app ${select.app}. It has: ${apps.join(', ')}.`);
  }
  const policies = Object.keys(config.policies);
  if ('policy' in select && !policies.some((policy) => policy === select.policy)) {
    throw new ProblemError(422, `The config has no policy ${select.policy}. It has: ${policies.join(', ')}.`);
  }
}

const LOST =
  'Redis went away, and the request may be taken. Ask again with the same Idempotency-Key and the same body: it is one request.';
const LOST_WITHOUT_KEY =
  'Redis went away, and the request may be taken. Ask again: a client whose rotation is under way is not rotated twice. An Idempotency-Key makes it one request in any case.';

async function answerFor({ context, signal }: Asked, id: string, once: Once | null, unknown: Errors): Promise<unknown> {
  const { result, waitsFor } = await resultOf(context.queues, id, signal).catch((error: unknown) => {
    if (hasCode(error, 'request_failed')) throw new ProblemError(422, messageOf(error));
    throw error;
  });
  if (result === null) return pendingOf(id, waitsFor, unknown);
  const failed = [...unknown, ...(result.errors ?? [])];
  if (result.rotations.length === 0 && failed.length > 0) throw nothingStarted(failed);
  const answer = await soon(acceptedOf(context.resources.store, id, result, unknown));
  return once === null ? answer : soon(once.keep(answer));
}

function nothingStarted(errors: Errors): ProblemError {
  const told = errors.slice(0, PAGE).map(({ client, message }) => ({ client, detail: message }));
  return new ProblemError(422, 'Nothing was started. What stands in the way is said of each client.', {
    errors: told,
  });
}

/** RFC 7240 section 4.1. */
function prefersAsync(prefer: string | undefined): boolean {
  return (prefer ?? '').split(',').some((one) => one.trim().toLowerCase() === 'respond-async');
}
