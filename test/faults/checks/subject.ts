/** The client that the stories are about: its keys, its records, its documents. */
import { makeKey, type TestKey, withPem } from '../../emulator/testing.ts';
import type { ClientEnd, StoredDocument, StoredEnd, StoredRecord } from '../evidence/evidence.ts';
import type { JwkMembers } from '../evidence/history.ts';
import { DEPLOYMENT } from '../names.ts';
import type { FaultClient } from '../stage/fleet.ts';
import { thumbprintOf } from './keys.ts';

/** From one step to the next, in ms. */
export const PACE_MS = 100;
export const BEGIN = 1_000_000;

export const [old, fresh, foreign] = ['ES256', 'ES256', 'ES256'].map((alg) => makeKey(alg)) as [
  TestKey,
  TestKey,
  TestKey,
]; // as many as algs
export const kidOf = (key: TestKey) => thumbprintOf({ ...key.jwk });
export const ROTATION = 'rotation-1';

/** A client of an overlap, with somebody else's key beside its own. */
export const client: FaultClient = {
  ref: `${DEPLOYMENT}/overlap/1`,
  id: '1',
  clientId: 'oc_1',
  app: {
    slug: 'overlap',
    selection: 'jwks_kid',
    policy: { strategy: 'overlap' },
    ends: 'finished',
    logins: 'one',
    clients: [],
  },
  overlap: '400ms',
  enrolment: 'enrolled',
  initial: {
    kid: old.kid,
    otherNames: [],
    alg: 'ES256',
    jwk: { ...old.jwk } as FaultClient['initial']['jwk'], // jose's type of the same object
    privateKey: old.privateKey,
  },
  foreign: [withPem(foreign)],
  visitors: [],
  folder: '/nowhere',
  host: 'overlap.example.com',
  outbox: null,
  signing: 'folder',
};

export const neighbour: FaultClient = {
  ...client,
  ref: `${DEPLOYMENT}/overlap/2`,
  id: '2',
  clientId: 'oc_2',
  foreign: [],
};

type State = 'pre-active' | 'active' | 'deactivated';

const managed = (key: TestKey, state: State) => ({
  kid: key === old ? old.kid : kidOf(key),
  thumbprint: kidOf(key),
  alg: key.alg,
  state,
});

export function recordOf(
  states: readonly (readonly [TestKey, State])[],
  more: Partial<StoredRecord> = {},
): StoredRecord {
  const keys = states.map(([key, state]) => managed(key, state));
  const nothing = { former: [], rotation: null, retirements: [], server: { inFlight: null }, halted: null };
  return { enrolment: 'enrolled', keys, ...nothing, ...more };
}

export const summary = (state: string): StoredEnd => ({ id: ROTATION, state, error: null });

const NO_TRIES = { error: null };

/** The rotation under way, in that phase. */
export const under = (name: string) => ({
  rotation: { id: ROTATION, strategy: 'overlap', compromised: null, phase: { name }, tries: NO_TRIES },
});

/** The old key on its way out. */
export const leaving = (phase: string) => ({
  retirements: [
    { kid: old.kid, role: 'replaced' as const, phase, until: 0, rotation: { id: ROTATION }, tries: NO_TRIES },
  ],
});

/** The old key is gone. */
export const gone = { former: [{ kid: old.kid }] };

export const documentOf = (...keys: readonly TestKey[]) =>
  bodyWith(...keys.map((key) => ({ ...withPem(key), kid: managed(key, 'active').kid })), withPem(foreign));

export const bodyWith = (...keys: readonly object[]) => ({ jwks: { keys }, token_endpoint_auth_signing_alg: 'ES256' });

/** How a record holds that body. */
function storedAs(body: { readonly jwks: { readonly keys: readonly object[] } }): StoredDocument {
  return { alg: 'ES256', format: 'jwks', keys: body.jwks.keys.map((jwk) => ({ jwk: { ...jwk } })) };
}

/** An intent is good for as long as five steps take. */
export const intentOf = (body: Parameters<typeof storedAs>[0], step: number): StoredRecord['server'] => ({
  inFlight: { document: storedAs(body), deadline: BEGIN + (step + 5) * PACE_MS },
});

export function endOf(of: FaultClient): ClientEnd {
  const keys: readonly JwkMembers[] = documentOf(fresh).jwks.keys.map((key) => ({ ...key }));
  return {
    client: of,
    record: recordOf([[fresh, 'active']], gone),
    history: [summary('finished')],
    sealed: new Map(),
    server: { keys, jwksUri: null },
    folder: new Map(),
    served: null,
    open: false,
  };
}
