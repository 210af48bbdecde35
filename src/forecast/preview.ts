/**
 * What a record's future looks like when everything goes well: the steps of {@link ./plan.ts} with the bodies that they send, run against a
 * server that does as it is told and a clock that jumps.
 */

import type { Action, Purpose } from '../core/action.ts';
import { delivered, generated } from '../core/delivering.ts';
import { desiredKids } from '../core/desired.ts';
import { bodyOf, type KeyDocument, type ObservedClient, type PatchBody } from '../core/document.ts';
import { fail } from '../core/ending.ts';
import { observed } from '../core/enrolment.ts';
import { heard } from '../core/heard.ts';
import type { Algorithm, KeyMaterial } from '../core/keys.ts';
import { plan } from '../core/plan.ts';
import type { ClientPolicy, Context } from '../core/policy.ts';
import { destroyed, provedNew, provedOld, takenRefused, takenUnproven } from '../core/proving.ts';
import { announced, patched, served, servingAnnounced, settled } from '../core/publishing.ts';
import { PEM_KTY } from '../core/readback.ts';
import { delayed } from '../core/readiness.ts';
import type { ClientRecord } from '../core/record.ts';
import { ripen } from '../core/retirement.ts';
import { incomingKid } from '../core/rotation.ts';
import type { Delivery, SignerReport } from '../core/signers.ts';
import { standbyDropped, standbyLeft, standbyMade, standbyTaken } from '../core/standby.ts';

export type PreviewStep =
  | { readonly step: 'generate'; readonly alg: Algorithm }
  /** The new key was made before, and signers have it. */
  | { readonly step: 'take_standby'; readonly kid: string }
  /** It is destroyed when signers have given it back. */
  | { readonly step: 'leave_standby'; readonly why: string }
  | ({ readonly step: 'deliver' } & Delivery)
  | { readonly step: 'serve'; readonly purpose: Purpose; readonly kids: readonly string[] }
  | { readonly step: 'patch'; readonly purpose: Purpose; readonly body: PatchBody }
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
  /** So many have to report that they hold the new key. */
  | { readonly step: 'await_signers'; readonly count: number }
  /** Nothing follows before the application takes it. */
  | { readonly step: 'offer'; readonly kid: string }
  | { readonly step: 'wait'; readonly ms: number; readonly why: string }
  | { readonly step: 'destroy'; readonly kid: string | null }
  /** Nothing follows: as things are, the rotation cannot be done. */
  | { readonly step: 'fail'; readonly why: string };

/** Far more than any client's future has. */
const MOST_STEPS = 1_000;

/** @param now ms since the epoch: when the first step is made */
export function preview(
  record: ClientRecord,
  policy: ClientPolicy,
  now: number,
  newKey: (alg: Algorithm) => KeyMaterial,
): readonly PreviewStep[] {
  const steps: PreviewStep[] = [];
  let [at, future] = [now, record];
  for (let turn = 0; turn < MOST_STEPS; turn += 1) {
    future = ripen(future, at);
    const action = plan(future, policy, at);
    // A key that is made to be kept ready comes after all that was asked for.
    if (action.do === 'done' || action.do === 'make_standby') return steps;
    steps.push(...described(action, future, policy, at));
    // Whether the application takes what it is offered, nobody can foresee.
    if (action.do === 'fail' || (action.do === 'wait' && future.rotation?.phase.name === 'offered')) return steps;
    if (action.do === 'wait') at = action.until;
    else future = afterwards(action, future, { policy, now: at, random: 0 }, newKey);
  }
  throw new Error(`the plan of ${record.ref} does not come to an end`);
}

type Undone = Exclude<Action, { do: 'done' }>;

function described(
  action: Undone,
  record: ClientRecord,
  { requireReady }: ClientPolicy,
  now: number,
): readonly PreviewStep[] {
  switch (action.do) {
    case 'fail':
      return [{ step: 'fail', why: action.why }];
    case 'wait':
      return [{ step: 'wait', ms: action.until - now, why: action.why }];
    case 'generate':
      return [{ step: 'generate', alg: action.rotation.alg }];
    case 'deliver': {
      const { rotation } = record;
      const step = rotation?.adopting ? ('offer' as const) : ('activate' as const);
      const activates: PreviewStep[] = rotation?.phase.name === 'proven' ? [{ step, kid: rotation.phase.kid }] : [];
      return [{ step: 'deliver', ...action.delivery }, ...activates];
    }
    case 'serve':
      return [{ step: 'serve', purpose: action.purpose, kids: desiredKids(record) }];
    case 'patch':
      return [{ step: 'patch', purpose: action.purpose, body: bodyOf(action.document) }];
    case 'settle':
      return [{ step: 'in_place' }];
    case 'prove_new':
      return [{ step: 'prove', kid: action.kid, expect: 'accepted', how: 'sign_in' }];
    case 'prove_old':
      return [{ step: 'prove', kid: action.name, expect: 'refused', how: 'sign_in' }];
    case 'take_unproven':
      return [{ step: 'prove', kid: action.kid, expect: 'accepted', how: 'read_back' }];
    case 'take_refused':
      return [{ step: 'prove', kid: action.old.kid, expect: 'refused', how: 'read_back' }];
    case 'destroy':
      return [{ step: 'destroy', kid: action.old.kid }];
    case 'hear':
      return requireReady > 0 && record.rotation?.phase.name === 'delivered'
        ? [{ step: 'await_signers', count: requireReady }]
        : [];
    case 'look':
    case 'make_standby':
      return [];
    // Only a failure, or a person in the middle of a rotation, brings these about.
    case 'turn_back':
    case 'tell_delay':
    case 'choose':
      return [];
    case 'take_standby':
      return [{ step: 'take_standby', kid: action.kid }];
    case 'leave_standby':
      return [{ step: 'leave_standby', why: action.why }];
    case 'drop_standby':
      return [{ step: 'destroy', kid: action.kid }];
    default:
      return action satisfies never;
  }
}

/** The record after a step that went well. */
function afterwards(
  action: Exclude<Undone, { do: 'wait' | 'fail' }>,
  record: ClientRecord,
  context: Context,
  newKey: (alg: Algorithm) => KeyMaterial,
): ClientRecord {
  const { policy, now } = context;
  const { client } = record.server.observed;
  switch (action.do) {
    case 'generate':
      return generated(record, action.rotation, newKey(action.rotation.alg), context).record;
    case 'deliver':
      return delivered(record, action.delivery, action.owner, context).record;
    case 'look':
      return observed(record, client, policy, now).record;
    case 'serve':
      return served(servingAnnounced(record, action, context).record, action.keys, action.owner).record;
    case 'patch': {
      const sent = announced(record, action, { now, deadline: now, policy }).record;
      const shown = serverAfter(client, action.document);
      return patched(sent, action, { class: 'done', status: 200, client: shown }, 0, context).record;
    }
    case 'settle':
      return settled(record, action, context).record;
    case 'prove_new':
      return provedNew(record, action.kid, { verdict: 'accepted' }, context).record;
    case 'prove_old':
      return provedOld(record, action, { verdict: 'refused', status: 400, message: '', claims: false }, context).record;
    case 'take_unproven':
      return takenUnproven(record, action.kid).record;
    case 'take_refused':
      return takenRefused(record, action.old).record;
    case 'destroy':
      return destroyed(record, action.old, context).record;
    case 'hear':
      return heard(record, { reports: readySigners(record, context), error: null }, context).record;
    case 'tell_delay':
      return delayed(record, action.old, action.why, now).record;
    case 'make_standby':
      return standbyMade(record, newKey(action.alg), context).record;
    case 'take_standby':
      return standbyTaken(record, action.rotation, action.kid, now);
    case 'leave_standby':
      return standbyLeft(record, action.why);
    case 'drop_standby':
      return standbyDropped(record, action.kid, context).record;
    case 'turn_back':
    case 'choose':
      return record.rotation === null ? record : fail(record, record.rotation, '', context).record;
    default:
      return action satisfies never;
  }
}

/** As many as the policy asks for; they sign with the key that is to stay. */
function readySigners({ rotation }: ClientRecord, { policy, now }: Context): readonly SignerReport[] {
  const kid = incomingKid(rotation);
  if (kid === null) return [];
  const names = Array.from({ length: policy.requireReady }, (_, index) => `signer-${index}`);
  return names.map((name) => ({ name, kids: [kid], signing: kid, at: now }));
}

/** What the server shows once it took a document. A PEM is stored as a set of one key. */
function serverAfter(client: ObservedClient, document: KeyDocument): ObservedClient {
  const { alg } = document;
  switch (document.format) {
    case 'jwks':
      return { ...client, alg, keys: document.keys };
    case 'jwks_uri':
      return { ...client, alg, jwksUri: document.uri };
    case 'pem': {
      const jwk = { kty: PEM_KTY, public_key_pem: document.pem };
      return { ...client, alg, keys: [{ jwk, ids: [document.id], pemId: document.id }] };
    }
    default:
      return document satisfies never;
  }
}
