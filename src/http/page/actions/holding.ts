/** Pausing and resuming the clients of a policy, of an app, or all of them, and resuming a wave that stopped. */

import { LONGEST_PAUSE_MS, pauseScope, type Resumed, resumeScope } from '../../../../jobs/hold.ts';
import { resumePolicy } from '../../../../jobs/wave.ts';
import type { Config } from '../../../config/model.ts';
import { parseDuration } from '../../../core/duration.ts';
import { type Pause, type Scope, scopeWords } from '../../../core/pause.ts';
import { checkNamed } from '../../ask.ts';
import { maySelect, type Principal } from '../../principal.ts';
import { ProblemError } from '../../problem.ts';
import type { PageAnswer, PageCall, PageRoute } from '../routes.ts';
import { causeOf, once } from './doing.ts';

export const holdingActions: readonly PageRoute[] = [
  { ...{ method: 'POST', path: '/pause', scope: 'rotate' }, handle: pause },
  { ...{ method: 'POST', path: '/resume', scope: 'rotate' }, handle: resume },
  { ...{ method: 'POST', path: '/waves/{policy}/resume', scope: 'rotate' }, handle: goOn },
];

/** Of many clients. A client is paused on its own page. */
type WideScope = Exclude<Scope, { readonly client: unknown }>;

async function pause(call: PageCall): Promise<PageAnswer> {
  const { store } = call.context.resources;
  const scope = scopeIn(call);
  const cause = causeOf(call);
  const forMs = lengthIn(call.form);
  return once(call, { do: 'pause', scope, forMs, reason: cause.reason }, async ({ request }) => {
    return { to: '/', notice: pausedWords(await pauseScope(scope, cause, forMs, store, request)) };
  });
}

async function resume(call: PageCall): Promise<PageAnswer> {
  const { store, config } = call.context.resources;
  const scope = scopeIn(call);
  const cause = causeOf(call);
  return once(call, { do: 'resume', scope, reason: cause.reason }, async () => {
    // A wave that stopped has a form of its own, which says why it did.
    const resumed = await resumeScope(scope, cause, { config, store }, async () => false);
    return { to: '/', notice: resumedWords(resumed) };
  });
}

async function goOn(call: PageCall): Promise<PageAnswer> {
  const { resources, queues } = call.context;
  const { policy = '' } = call.params;
  allow(call.visitor.principal, { policy }, resources.config);
  const cause = causeOf(call);
  return once(call, { do: 'wave', policy, reason: cause.reason }, async () => {
    const hasStopped = await resumePolicy(policy, cause, { store: resources.store, queues });
    const notice = hasStopped
      ? `The wave of policy ${policy} goes on: a worker begins the rest of its clients.`
      : `The wave of policy ${policy} had not stopped, or somebody has resumed it already.`;
    return { to: '/', notice };
  });
}

/** @throws ProblemError 400, 403, 422 */
function scopeIn({ form, visitor, context }: PageCall): WideScope {
  const scope = scopeOf(form);
  if (scope === null) throw new ProblemError(400, 'Go back, and say what to pause: a policy, an app, or all clients.');
  allow(visitor.principal, scope, context.resources.config);
  return scope;
}

/** Null: the form does not say. */
function scopeOf(form: URLSearchParams): WideScope | null {
  const kind = form.get('scope');
  const value = (form.get(kind ?? '') ?? '').trim();
  if (kind === 'all') return { all: true };
  if (value === '') return null;
  return kind === 'app' ? { app: value } : kind === 'policy' ? { policy: value } : null;
}

/** @throws ProblemError 403 for what the visitor may not touch, 422 for what the config does not have */
function allow(principal: Principal, scope: WideScope, config: Config): void {
  if (!maySelect(principal, scope)) {
    throw new ProblemError(
      403,
      `${principal.claimedBy} is for ${principal.only} alone: it may not act on ${scopeWords(scope)}.`,
    );
  }
  checkNamed(scope, config);
}

/** In ms; null: until somebody resumes it. @throws ProblemError 400 */
export function lengthIn(form: URLSearchParams): number | null {
  const text = (form.get('for') ?? '').trim();
  if (text === '') return null;
  const ms = parseDuration(text);
  if (ms !== null && ms > 0 && ms <= LONGEST_PAUSE_MS) return ms;
  throw new ProblemError(400, 'Go back, and say for how long as a number and a unit, such as 30m, 4h or 2d.');
}

export function pausedWords({ scope, until }: Pause): string {
  const end = until === null ? 'until somebody resumes it' : `until ${new Date(until).toISOString()}`;
  return `Paused: ${scopeWords(scope)}. No scheduled rotation begins ${end}.`;
}

export function resumedWords({ scope, wasPaused, stillHeld }: Resumed): string {
  const what = wasPaused ? `Resumed: ${scopeWords(scope)}.` : `There is no pause of ${scopeWords(scope)}.`;
  if (stillHeld === null)
    return wasPaused ? `${what} Rotations that are due begin with the next tick of the schedule.` : what;
  return `${what} Still paused by ${stillHeld.actor}, with ${scopeWords(stillHeld.scope)}: ${stillHeld.reason}`;
}
