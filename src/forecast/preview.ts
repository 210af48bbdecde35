/**
 * What a record's future looks like when everything goes well: the steps of {@link ./plan.ts} with the bodies that they send, run against a
 * server that does as it is told and a clock that jumps.
 */

import { observed } from '../core/adopt.ts';
import { publishedKeys } from '../core/desired.ts';
import type { KeyDocument, ObservedClient } from '../core/document.ts';
import { destroyed } from '../core/ending.ts';
import { type Purpose, plan, ripen, type Step } from '../core/plan.ts';
import type { ClientPolicy, Context } from '../core/policy.ts';
import { announced, delivered, generated, patched, served, servingAnnounced, settled } from '../core/progress.ts';
import { proved, takenUnproven } from '../core/proving.ts';
import { PEM_KTY } from '../core/public-key.ts';
import type { Algorithm, ClientRecord, Delivery, ManagedKey } from '../core/record.ts';

export type PreviewStep =
  | { readonly step: 'generate'; readonly alg: Algorithm }
  | ({ readonly step: 'deliver' } & Delivery)
  | { readonly step: 'serve'; readonly purpose: Purpose; readonly kids: readonly string[] }
  | { readonly step: 'patch'; readonly purpose: Purpose; readonly body: KeyDocument }
  /** The server holds the document already: nothing is sent. */
  | { readonly step: 'in_place' }
  /** `how` is `read_back` where the policy asks for no test sign-in. */
  | {
      readonly step: 'prove';
      readonly kid: string | null;
      readonly expect: 'accepted' | 'refused';
      readonly how: 'sign_in' | 'read_back';
    }
  | { readonly step: 'activate'; readonly kid: string }
  | { readonly step: 'wait'; readonly ms: number; readonly why: string }
  | { readonly step: 'destroy'; readonly kid: string | null }
  /** Nothing follows: as things are, the rotation cannot be done. */
  | { readonly step: 'fail'; readonly why: string };

/** The public half of a key that does not exist yet. */
export type PlannedKey = Pick<ManagedKey, 'kid' | 'thumbprint' | 'alg' | 'jwk' | 'pem'>;

/** Far more than any client's future has. */
const MOST_STEPS = 1_000;

/** @param now ms since the epoch: when the first step is made */
export function preview(
  record: ClientRecord,
  policy: ClientPolicy,
  now: number,
  newKey: (alg: Algorithm) => PlannedKey,
): readonly PreviewStep[] {
  const steps: PreviewStep[] = [];
  let [at, future] = [now, record];
  for (let turn = 0; turn < MOST_STEPS; turn += 1) {
    future = ripen(future, at);
    const step = plan(future, policy, at);
    if (step.do === 'done') return steps;
    steps.push(...described(step, future, at));
    if (step.do === 'fail') return steps;
    if (step.do === 'wait') at = step.until;
    else future = afterwards(step, future, { policy, now: at, random: 0 }, newKey);
  }
  throw new Error(`the plan of ${record.ref} does not come to an end`);
}

function described(step: Exclude<Step, { do: 'done' }>, record: ClientRecord, now: number): readonly PreviewStep[] {
  switch (step.do) {
    case 'fail':
      return [{ step: 'fail', why: step.why }];
    case 'wait':
      return [{ step: 'wait', ms: step.until - now, why: step.why }];
    case 'generate':
      return [{ step: 'generate', alg: step.rotation.alg }];
    case 'deliver': {
      const { rotation } = record;
      const activates: PreviewStep[] =
        rotation?.phase.name === 'proven' ? [{ step: 'activate', kid: rotation.phase.kid }] : [];
      return [{ step: 'deliver', ...step.delivery }, ...activates];
    }
    case 'observe':
      return [];
    case 'serve':
      return [{ step: 'serve', purpose: step.purpose, kids: publishedKeys(record).map((key) => key.kid) }];
    case 'patch':
      return [{ step: 'patch', purpose: step.purpose, body: step.document }];
    case 'settle':
      return [{ step: 'in_place' }];
    case 'prove':
      return [{ step: 'prove', kid: step.kid, expect: step.expect, how: 'sign_in' }];
    case 'take_unproven':
      return [{ step: 'prove', kid: step.kid, expect: step.expect, how: 'read_back' }];
    case 'destroy':
      return [{ step: 'destroy', kid: step.retirement.kid }];
    default:
      return step satisfies never;
  }
}

/** The record after a step that went well. */
function afterwards(
  step: Exclude<Step, { do: 'done' | 'wait' | 'fail' }>,
  record: ClientRecord,
  context: Context,
  newKey: (alg: Algorithm) => PlannedKey,
): ClientRecord {
  const { policy, now } = context;
  switch (step.do) {
    case 'generate':
      return generated(record, step.rotation, newKey(step.rotation.alg), context).record;
    case 'deliver':
      return delivered(record, step.delivery, context).record;
    case 'observe':
      return observed(record, record.observed.client, policy, now).record;
    case 'serve':
      return served(servingAnnounced(record, step.purpose).record, step.keys, policy).record;
    case 'patch': {
      const sent = announced(record, step.document, step.purpose, now).record;
      const client = serverAfter(record.observed.client, step.document);
      return patched(sent, step.document, { class: 'done', status: 200, client }, 0, context).record;
    }
    case 'settle':
      return settled(record, context).record;
    case 'prove':
      return proved(record, step.kid, step.expect, verdictFor(step.expect), context).record;
    case 'take_unproven':
      return takenUnproven(record, step.kid, step.expect).record;
    case 'destroy':
      return destroyed(record, step.retirement, context).record;
    default:
      return step satisfies never;
  }
}

function verdictFor(expect: 'accepted' | 'refused') {
  return expect === 'accepted'
    ? ({ verdict: 'accepted' } as const)
    : ({ verdict: 'refused', status: 400, message: '', claims: false } as const);
}

/** What the server shows once it took a document. A PEM is stored as a set of one key. */
function serverAfter(client: ObservedClient, document: KeyDocument): ObservedClient {
  const alg = document.token_endpoint_auth_signing_alg;
  const { jwks, jwks_uri: jwksUri = client.jwksUri, public_key_pem: pem } = document;
  const keys = pem === undefined ? (jwks?.keys ?? client.keys) : [{ kty: PEM_KTY, public_key_pem: pem }];
  return { ...client, alg, jwksUri, keys };
}
