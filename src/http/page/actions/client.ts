/** Actions on one client. Each returns to its page, which shows what came of it. */
import { enrollClient, rollBack } from '../../../../jobs/by-hand.ts';
import { pauseScope, resumeScope, whyNotPaused } from '../../../../jobs/hold.ts';
import type { ClientRef } from '../../../core/client.ts';
import { ProblemError } from '../../problem.ts';
import { clientOf } from '../client.ts';
import type { PageAnswer, PageCall, PageRoute } from '../routes.ts';
import { clientPath } from '../views/words.ts';
import { type Place, rotateOrShow, showDryRun } from './asking.ts';
import { causeOf, type Done, once } from './doing.ts';
import { lengthIn, pausedWords, resumedWords } from './holding.ts';

const PLACE = '/clients/{deployment}/{app}/{client}';

export const clientActions: readonly PageRoute[] = [
  {
    ...{ method: 'POST', path: `${PLACE}/rotate`, scope: 'rotate' },
    handle: async (call: PageCall) => {
      const ref = await clientOf(call);
      const asked = { select: { clients: [ref] }, take_over: call.form.has('take_over') };
      return rotateOrShow(call, asked, rotationOf(ref));
    },
  },
  {
    ...{ method: 'GET', path: `${PLACE}/rotate/{asked}`, scope: 'rotate' },
    handle: async (call: PageCall) => showDryRun(call, rotationOf(await clientOf(call))),
  },
  { ...{ method: 'POST', path: `${PLACE}/rollback`, scope: 'rotate' }, handle: rollback },
  { ...{ method: 'POST', path: `${PLACE}/enroll`, scope: 'rotate' }, handle: enroll },
  { ...{ method: 'POST', path: `${PLACE}/pause`, scope: 'rotate' }, handle: pause },
  { ...{ method: 'POST', path: `${PLACE}/resume`, scope: 'rotate' }, handle: resume },
];

function rotationOf(ref: ClientRef): Place {
  return { action: `${clientPath(ref)}/rotate`, form: clientPath(ref), back: clientPath(ref) };
}

async function rollback(call: PageCall): Promise<PageAnswer> {
  const { resources, queues } = call.context;
  const ref = await clientOf(call);
  const cause = causeOf(call);
  return once(call, { do: 'rollback', ref, reason: cause.reason }, async ({ request }) => {
    const wake = (one: ClientRef) => queues.wake(one, false);
    const { error, kid, replaces } = await rollBack(resources, ref, cause, request, wake);
    if (error !== null) throw new ProblemError(422, error);
    const which = kid === null ? '' : ` ${kid} takes the place of ${replaces}.`;
    return done(ref, `The previous key is put back.${which} The client is paused until you resume it.`);
  });
}

async function enroll(call: PageCall): Promise<PageAnswer> {
  const { resources, queues } = call.context;
  const ref = await clientOf(call);
  const cause = causeOf(call);
  return once(call, { do: 'enroll', ref, reason: cause.reason }, async () => {
    const { error, was } = await enrollClient(resources, ref, cause, (one) => queues.wake(one, false));
    if (error !== null) throw new ProblemError(422, error);
    return done(ref, was === 'enrolled' ? 'The client was enrolled already.' : 'The client is enrolled.');
  });
}

async function pause(call: PageCall): Promise<PageAnswer> {
  const { store, config } = call.context.resources;
  const ref = await clientOf(call);
  const cause = causeOf(call);
  const forMs = lengthIn(call.form);
  return once(call, { do: 'pause', ref, forMs, reason: cause.reason }, async ({ request }) => {
    const why = await whyNotPaused(ref, config, store);
    if (why !== null) throw new ProblemError(422, why);
    return done(ref, pausedWords(await pauseScope({ client: ref }, cause, forMs, store, request)));
  });
}

async function resume(call: PageCall): Promise<PageAnswer> {
  const { store, config } = call.context.resources;
  const ref = await clientOf(call);
  const cause = causeOf(call);
  return once(call, { do: 'resume', ref, reason: cause.reason }, async () => {
    const resumed = await resumeScope({ client: ref }, cause, { config, store }, async () => false);
    return done(ref, resumedWords(resumed));
  });
}

function done(ref: ClientRef, notice: string): Done {
  return { to: clientPath(ref), notice };
}
