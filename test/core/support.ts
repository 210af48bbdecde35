/** Builders for tests of the core: keys that look like keys, clients as the server shows them, records on their way. */
import { adopt, imported } from '../../src/core/adopt.ts';
import type { AuditType } from '../../src/core/audit.ts';
import { type RotationRequest, request } from '../../src/core/begin.ts';
import type { Change } from '../../src/core/change.ts';
import { makeReference } from '../../src/core/client.ts';
import type { ObservedClient, PublicJwk } from '../../src/core/document.ts';
import { findKey } from '../../src/core/keys.ts';
import type { ClientPolicy, Context } from '../../src/core/policy.ts';
import type {
  Algorithm,
  Cause,
  ClientRecord,
  KeyState,
  ManagedKey,
  Retirement,
  Rotation,
} from '../../src/core/record.ts';

export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** Where every simulated story begins. */
export const START = Date.UTC(2026, 0, 1);
export const REF = makeReference('185019846023', 'mcp-auth', '4711');
export const OPERATOR: Cause = { actor: 'operator', reason: 'drill', request: null };
export const SERVED_URI = 'https://keys.example.com/jwks/4711';

export const POLICY: ClientPolicy = {
  alg: 'ES256',
  strategy: 'overlap',
  format: 'jwks',
  embedPem: true,
  foreignKeys: 'keep',
  rotateEveryMs: 30 * DAY,
  splayMs: 0,
  propagationMs: MINUTE,
  overlapMs: 10 * MINUTE,
  prove: 'required',
  attempts: 4,
  jwksUri: SERVED_URI,
  backoff: { baseMs: 1_000, maxMs: MINUTE },
};

export function contextAt(now: number, policy: ClientPolicy = POLICY): Context {
  return { policy, now, random: 0.5 };
}

export type Material = Pick<ManagedKey, 'kid' | 'thumbprint' | 'alg' | 'jwk' | 'pem'>;

/** Key material named by `kid`. Nothing verifies with it; it compares as a key does. */
export function material(kid: string, alg: Algorithm = 'ES256'): Material {
  const jwk: PublicJwk = alg.startsWith('ES')
    ? { kty: 'EC', crv: 'P-256', x: `x-${kid}`, y: `y-${kid}` }
    : { kty: 'RSA', n: `n-${kid}`, e: 'AQAB' };
  const pem = `-----BEGIN PUBLIC KEY-----\n${Buffer.from(kid).toString('base64')}\n-----END PUBLIC KEY-----\n`;
  return { kid, thumbprint: kid, alg, jwk, pem };
}

/** As the server shows a key that was published in a JWK Set. */
export function published(kid: string, alg: Algorithm = 'ES256'): PublicJwk {
  const { jwk, pem } = material(kid, alg);
  return { ...jwk, kid, use: 'sig', alg, public_key_pem: pem };
}

/** A key of ours as it stands in a set that we serve. */
export function servedKey(kid: string): PublicJwk {
  return { ...material(kid).jwk, kid, use: 'sig', alg: 'ES256' };
}

/** As the server shows a key that was registered as `public_key_pem`. */
export function publishedPem(kid: string): PublicJwk {
  return { kty: 'PEM', public_key_pem: material(kid).pem };
}

export function client(change: Partial<ObservedClient> = {}): ObservedClient {
  return {
    id: '4711',
    clientId: 'oauth-client-4711',
    authMethod: 'private_key_jwt',
    alg: 'ES256',
    jwksUri: null,
    keys: [published('foreign-1')],
    active: true,
    updatedAt: '2026-01-01T00:00:00Z',
    ...change,
  };
}

export function asked(id: string, compromised: RotationRequest['compromised'] = null): RotationRequest {
  return { id, actor: 'operator', reason: 'drill', request: null, compromised };
}

/** A client that has only keys of others. */
export function adoptedRecord(observed: ObservedClient = client()): ClientRecord {
  return adopt(REF, observed, OPERATOR, START).record;
}

/** A client whose one published key was imported under the kid `a`, and handed to signers. */
export function managedRecord(policy: ClientPolicy = POLICY, observed?: ObservedClient): ClientRecord {
  const { kid: _, ...key } = material('a');
  const adopted = adoptedRecord(observed ?? client({ keys: [published('a')] }));
  const { record } = imported(adopted, key, policy, OPERATOR, START);
  return { ...record, delivered: { current: 'a', next: null, previous: null } };
}

export function key(kid: string, state: KeyState, change: Partial<ManagedKey> = {}): ManagedKey {
  return {
    ...material(kid, change.alg),
    state,
    createdAt: START,
    publishedAt: null,
    activatedAt: state === 'active' ? START : null,
    proof: null,
    destroyedAt: null,
    ...change,
  };
}

type PhaseName = Rotation['phase']['name'];

/** A rotation `r1` in that phase, which brings in the key `b`. */
export function rotation(
  strategy: Rotation['strategy'],
  name: PhaseName,
  change: Partial<Omit<Rotation, 'strategy' | 'phase'>> = {},
): Rotation {
  return {
    id: 'r1',
    actor: 'operator',
    reason: 'drill',
    request: null,
    startedAt: START,
    alg: 'ES256',
    format: 'jwks',
    compromised: null,
    before: client({ keys: [published('a')] }),
    ...change,
    strategy,
    phase: { name, kid: 'b', at: START, why: 'the proof failed' },
  } as Rotation; // members that a phase does not have are never looked at
}

/** Active key `a`, and a rotation in that phase; signers hold what they should by then. */
export function rotating(
  strategy: Rotation['strategy'],
  name: PhaseName,
  change: Partial<ClientRecord> = {},
  rotationChange: Partial<Omit<Rotation, 'strategy' | 'phase'>> = {},
): ClientRecord {
  const running = request(managedRecord(), asked('r1'), POLICY, START).record;
  const fresh = key('b', 'pre-active', { alg: rotationChange.alg ?? 'ES256' });
  const early = name === 'requested' || name === 'stored';
  return {
    ...running,
    rotation: rotation(strategy, name, rotationChange),
    keys: name === 'requested' ? running.keys : [...running.keys, fresh],
    delivered: { current: 'a', next: early ? null : 'b', previous: null },
    ...change,
  };
}

/** No rotation under way: active key `b`, and `a` on its way out. */
export function retiringRecord(old: Retirement, change: Partial<ClientRecord> = {}): ClientRecord {
  const leaves = old.kind !== 'discard' && old.phase !== 'refused';
  return {
    ...managedRecord(),
    keys: [key('a', 'deactivated'), key('b', 'active')],
    observed: { client: client({ keys: [published('a'), published('b')] }), at: START },
    delivered: { current: 'b', next: null, previous: leaves ? 'a' : null },
    retiring: [old],
    ...change,
  };
}

export function retirement(kind: 'overlap' | 'cutover', phase: string, change: { kid?: null; until?: number } = {}) {
  return { kind, kid: 'a', rotation: 'r0', phase, until: START + 10 * MINUTE, ...change } as Retirement; // each test names a phase that this kind has
}

export const CONTEXT = contextAt(START);

export function typesOf({ entries }: Change): readonly AuditType[] {
  return entries.map(({ type }) => type);
}

export function stateOf(record: ClientRecord, kid: string): KeyState | undefined {
  return findKey(record, kid)?.state;
}
