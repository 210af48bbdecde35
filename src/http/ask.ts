/** Puts a request of a caller into the queue, and waits a while for what it came to. */
import { randomUUID } from 'node:crypto';
import { requestResult } from '../../jobs/result.ts';
import { contradiction, type Request } from '../../jobs/schemas.ts';
import { appPaths, type Config, policyFor } from '../config/model.ts';
import { hasCode, messageOf } from '../errors.ts';
import { PAGE } from '../parallel.ts';
import { answerOf } from '../store/redis/patience.ts';
import { after } from '../time.ts';
import { enqueue } from './enqueue.ts';
import { type Once, onceFor } from './idempotency.ts';
import { acceptedOf, type Errors, pendingOf } from './outcome.ts';
import { maySelect, type Principal } from './principal.ts';
import { ProblemError } from './problem.ts';
import type { Answer, Call } from './route.ts';
import type { RequestBody } from './routes/rotations.ts';

type Asked = Call<unknown, unknown, RequestBody>;

/** How long a caller waits for a worker to take the request, and for Redis, in ms. */
const WAIT_MS = 20_000;
const PATIENCE_MS = 5_000;

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
      return { status: 202, headers: told, body: pendingOf(id, '', unknown) };
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
  const clients = select.clients.filter((ref) => policyFor(config, ref) !== null);
  const unknown = select.clients
    .filter((ref) => policyFor(config, ref) === null)
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

/** Not for as long as Redis may be away. @throws RekeydError `redis_unreachable` */
export function soon<T>(work: Promise<T>): Promise<T> {
  return answerOf(work, { signal: new AbortController().signal, ms: PATIENCE_MS }, '') as Promise<T>; // null only after an abort, and nobody aborts
}

async function answerFor({ context, signal }: Asked, id: string, once: Once | null, unknown: Errors): Promise<unknown> {
  const waited = AbortSignal.any([signal, after(WAIT_MS)]);
  let waitsFor = '';
  const onRetry = (why: string) => {
    waitsFor = why;
  };
  const patience = { signal: waited, ms: PATIENCE_MS, onRetry };
  const found = await requestResult(context.queues, id, patience).catch((error: unknown) => {
    if (hasCode(error, 'request_failed')) throw new ProblemError(422, messageOf(error));
    throw error;
  });
  if (found === null) return pendingOf(id, waitsFor, unknown);
  const failed = [...unknown, ...(found.errors ?? [])];
  if (found.rotations.length === 0 && failed.length > 0) throw nothingStarted(failed);
  const answer = await soon(acceptedOf(context.resources.store, id, found, unknown));
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
