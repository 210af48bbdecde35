/** A person decides about drift: what the server shows is right, or what rekeyd publishes is. It goes the way of `rekeyd drift accept` and `rekeyd drift repair`. */
import { hash } from 'node:crypto';
import { html, type SafeHtml } from '@remix-run/html-template';
import { type Decide, type Decided, settle, shownNow } from '../../../../jobs/settle.ts';
import type { ClientRef } from '../../../core/client.ts';
import type { Cause } from '../../../core/history.ts';
import { canonicalJson } from '../../../core/json.ts';
import { accept, repair } from '../../../core/settling.ts';
import { RekeydError } from '../../../errors.ts';
import { type DriftView, driftView } from '../../../status/client/drift.ts';
import type { ClientView } from '../../../status/views.ts';
import { after, untilAborted } from '../../../time.ts';
import { ApiError } from '../../../wacht/api-error.ts';
import { ProblemError } from '../../problem.ts';
import { clientOf } from '../client.ts';
import type { PageAnswer, PageCall, PageRoute, Visitor } from '../routes.ts';
import { clientPath } from '../views/words.ts';
import { causeOf, once } from './doing.ts';
import { checkField, form, hiddenFields, reasonField } from './fields.ts';

const PLACE = '/clients/{deployment}/{app}/{client}';

export const driftActions: readonly PageRoute[] = [
  {
    ...{ method: 'POST', path: `${PLACE}/accept-drift`, scope: 'rotate' },
    handle: (call: PageCall) => decided(call, { do: 'accept drift', shown: call.form.get('shown') }, accepting),
  },
  {
    ...{ method: 'POST', path: `${PLACE}/repair-drift`, scope: 'rotate' },
    handle: (call: PageCall) => decided(call, { do: 'repair drift', drop: call.form.getAll('drop') }, repairing),
  },
];

/** In ms: how long the list of an app may take. A visitor waits for it. */
const LIST_MS = 12_000;

async function decided(
  call: PageCall,
  what: object,
  deciding: (form: URLSearchParams, cause: Cause) => Decide,
): Promise<PageAnswer> {
  const { resources, queues } = call.context;
  const ref = await clientOf(call);
  const cause = causeOf(call);
  // Before the form counts as sent: a list that cannot be read decides nothing.
  const shown = await listed(call, ref);
  return once(call, { ...what, ref, reason: cause.reason }, async () => {
    const wake = (one: ClientRef) => queues.wake(one, false);
    const { error, done } = await settle(resources, ref, shown.get(ref), deciding(call.form, cause), wake);
    if (error !== null) throw new ProblemError(422, error);
    return { to: clientPath(ref), notice: wordsOf(done) };
  });
}

/** @throws ProblemError 422 where the server does not answer, or not in time */
async function listed({ context }: PageCall, ref: ClientRef) {
  const isLate = after(LIST_MS);
  try {
    return await untilAborted(shownNow(context.resources, [ref]), isLate);
  } catch (error) {
    if (!isLate.aborted && !(error instanceof ApiError)) throw error;
    const why = error instanceof ApiError ? error.message : `it took longer than ${LIST_MS / 1_000} s`;
    throw new ProblemError(422, `The clients of the app could not be read from the server: ${why}. Try again.`);
  }
}

/** Accepts what the visitor was shown, and nothing that came later. */
function accepting(given: URLSearchParams, cause: Cause): Decide {
  return (record, policy, now) => {
    if (markOf(driftView(record, policy)) === given.get('shown')) return accept(record, cause, { policy, now });
    const why = 'The server shows something else by now. Nothing was changed. Go back, and look at it again.';
    throw new RekeydError('not_eligible', why);
  };
}

function repairing(given: URLSearchParams, cause: Cause): Decide {
  return (record, policy, now) => repair(record, { cause, drop: given.getAll('drop') }, { policy, now });
}

function wordsOf(done: Decided['done']): string {
  switch (done) {
    case null:
      return 'The server shows what is known. Nothing was changed.';
    case 'known':
      return 'What the server shows is accepted.';
    case 'left':
      return 'What the server shows is accepted, and stays until the next rotation.';
    case 'found':
      return 'What the server shows is accepted. Its active key is not ours, so the client is found, and nothing is done to it. Our keys are kept until the next rotation.';
    case 'restoring':
      return 'The foreign keys that a repair took away are published again.';
    case 'repairing':
      return 'Our document is published again.';
    default:
      return done satisfies never;
  }
}

/** Of what the server shows. */
function markOf({ server }: DriftView): string {
  return hash('sha256', canonicalJson(server), 'base64url');
}

/** @returns null where the client has not drifted */
export function acceptForm(visitor: Visitor, { status: { client }, drift }: ClientView): SafeHtml | null {
  if (drift.since === null) return null;
  const shown = hiddenFields([['shown', markOf(drift)]]);
  return html`<p>What the server shows becomes what is known. Where our active key is not among it, the client becomes found, and nothing more is done to it.</p>
${form(visitor, { action: `${clientPath(client)}/accept-drift`, verb: 'Accept it', danger: true }, html`${shown}${reasonField('accept-drift')}`)}`;
}

/** @returns null where nothing of ours could be put back, and no foreign key has appeared that could be taken away */
export function repairForm(visitor: Visitor, { status: { client }, drift }: ClientView): SafeHtml | null {
  const kinds = drift.what.map(({ kind }) => kind);
  if (!kinds.includes('document') && !kinds.includes('foreign_added')) return null;
  const foreign = drift.server.keys.filter(({ origin }) => origin === 'foreign');
  const drops = foreign.flatMap(({ kid, id }, index) => {
    const name = kid ?? id;
    return name === null
      ? []
      : checkField({ name: 'drop', value: name, id: `drop-${index}`, label: `Take away the foreign key ${name}` });
  });
  return html`<p>Our document is published again. A foreign key stays, unless you take it away: applications that sign with it can then no longer sign in.</p>
${form(visitor, { action: `${clientPath(client)}/repair-drift`, verb: 'Repair it', danger: true }, html`${drops}${reasonField('repair-drift')}`)}`;
}
