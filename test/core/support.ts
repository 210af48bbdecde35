/** Builders for tests of the core: keys that look like keys, clients as the server shows them, records on their way. */
import type { AuditType } from '../../src/core/audit.ts';
import type { RotationRequest } from '../../src/core/begin.ts';
import { makeReference } from '../../src/core/client.ts';
import type { KeyDocument, ObservedClient, ObservedKeys, PublicJwk, PublishedKey } from '../../src/core/document.ts';
import { enrolled, found, imported } from '../../src/core/enrolment.ts';
import { type AppFacts, NOTHING_KNOWN } from '../../src/core/findings.ts';
import type { Cause, RotationSummary } from '../../src/core/history.ts';
import {
  ALGORITHMS,
  type Algorithm,
  findKey,
  type KeyMaterial,
  type KeyState,
  type ManagedKey,
} from '../../src/core/keys.ts';
import type { ClientPolicy, Context } from '../../src/core/policy.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import { request } from '../../src/core/request.ts';
import type { Retirement } from '../../src/core/retirement.ts';
import type { Rotation } from '../../src/core/rotation.ts';
import type { InFlight, ServerSide } from '../../src/core/server.ts';
import type { Delivery } from '../../src/core/signers.ts';
import type { Transition } from '../../src/core/transition.ts';
import { NO_TRIES, type Tries } from '../../src/core/tries.ts';

export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** Where every simulated story begins. */
export const START = Date.UTC(2026, 0, 1);
export const REF = makeReference('185019846023', 'mcp-auth', '4711');
export const OPERATOR: Cause = { actor: 'operator', reason: 'drill', request: null };
export const SERVED_URI = 'https://keys.example.com/jwks/4711';
export const THEIR_URI = 'https://customer.example.com/jwks';

/** An app where somebody was seen to sign in with each alg. */
const EVERYTHING_SEEN: AppFacts = {
  ...NOTHING_KNOWN,
  proven: Object.fromEntries(ALGORITHMS.map((alg) => [alg, { at: START, client: REF }])),
};

export const POLICY: ClientPolicy = {
  alg: 'ES256',
  strategy: 'overlap',
  format: 'jwks',
  embedPem: true,
  foreignKeys: 'keep',
  adopt: 'import',
  adoptTimeoutMs: 30 * DAY,
  rotateEveryMs: 30 * DAY,
  mustByMs: 45 * DAY,
  splayMs: 0,
  standby: false,
  propagationMs: MINUTE,
  overlapMs: 10 * MINUTE,
  prove: 'required',
  proveWithinMs: MINUTE,
  requireReady: 0,
  readyTimeoutMs: 15 * MINUTE,
  attempts: 4,
  jwksUri: SERVED_URI,
  facts: EVERYTHING_SEEN,
  backoff: { baseMs: 1_000, maxMs: MINUTE },
};

export const CONTEXT = contextAt(START);

export function contextAt(now: number, policy: ClientPolicy = POLICY): Context {
  return { policy, now, random: 0.5 };
}

/** Key material named by `kid`. Nothing verifies with it; its id says which key it is. */
export function material(kid: string, alg: Algorithm = 'ES256'): KeyMaterial {
  const jwk: PublicJwk = alg.startsWith('ES')
    ? { kty: 'EC', crv: 'P-256', x: `x-${kid}`, y: `y-${kid}` }
    : { kty: 'RSA', n: `n-${kid}`, e: 'AQAB' };
  return { id: idOf(kid), kid, thumbprint: kid, alg, jwk, pem: pemOf(kid) };
}

export function idOf(kid: string): string {
  return `id-${kid}`;
}

function pemOf(kid: string): string {
  return `-----BEGIN PUBLIC KEY-----\n${Buffer.from(kid).toString('base64')}\n-----END PUBLIC KEY-----\n`;
}

/** A JWK as the server shows it, read the way `keys/` reads one: its key by the JWK members, and the one in its PEM. */
export function entryOf(jwk: PublicJwk): PublishedKey {
  const own = [jwk.x, jwk.n].flatMap((member) => (typeof member === 'string' ? [idOf(member.slice(2))] : []));
  const pem = jwk.public_key_pem;
  const pemId = typeof pem === 'string' ? idOf(Buffer.from(pem.split('\n')[1] ?? '', 'base64').toString()) : null;
  return { jwk, ids: [...new Set(pemId === null ? own : [...own, pemId])], pemId };
}

/** As the server shows a key that was published in a JWK Set, under that name. */
export function published(kid: string, alg: Algorithm = 'ES256', name = kid): PublishedKey {
  const { jwk, pem } = material(kid, alg);
  return entryOf({ ...jwk, kid: name, use: 'sig', alg, public_key_pem: pem });
}

/** A key of ours as it stands in a set that we serve. */
export function servedKey(kid: string): PublicJwk {
  return { ...material(kid).jwk, kid, use: 'sig', alg: 'ES256' };
}

/** As the server shows a key that was registered as `public_key_pem`. */
export function publishedPem(kid: string): PublishedKey {
  return entryOf({ kty: 'PEM', public_key_pem: pemOf(kid) });
}

/** A foreign entry that nobody can read as a key. */
export function unreadable(kid: string): PublishedKey {
  return entryOf({ kty: 'AKP', pub: 'zz', kid });
}

export function jwks(...keys: readonly PublishedKey[]): KeyDocument {
  return { alg: 'ES256', format: 'jwks', keys };
}

export function pem(kid: string, alg = 'ES256'): KeyDocument {
  return { alg, format: 'pem', pem: pemOf(kid), id: idOf(kid) };
}

export function address(uri: string, alg = 'ES256'): KeyDocument {
  return { alg, format: 'jwks_uri', uri };
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

/** What the server showed before a rotation's first PATCH, which was sent at {@link START}. */
export function shown(kids: readonly string[], change: Partial<ObservedKeys> = {}): NonNullable<Rotation['before']> {
  return { alg: 'ES256', jwksUri: null, keys: kids.map((kid) => published(kid)), sentAt: START, ...change };
}

export function tries(change: Partial<Tries>): Tries {
  return { ...NO_TRIES, ...change };
}

export function inFlight(document: KeyDocument, deadline: number, change: Partial<InFlight> = {}): InFlight {
  return { document, deadline, again: false, isFirst: false, ...change };
}

export function asked(
  id: string,
  compromised: RotationRequest['compromised'] = null,
  takeOver = false,
): RotationRequest {
  return { id, actor: 'operator', reason: 'drill', request: null, compromised, takeOver };
}

/** A client that has only foreign keys. */
export function foundRecord(seen: ObservedClient = client()): ClientRecord {
  return found(REF, seen, OPERATOR, START).record;
}

/** A client whose one published key was imported under the kid `a`, and handed to signers. */
export function heldRecord(seen: ObservedClient = client({ keys: [published('a')] })): ClientRecord {
  const { kid: _, ...key } = material('a');
  const { record } = imported(foundRecord(seen), key, OPERATOR, START);
  return { ...record, signers: signersHold('a') };
}

/** The same, and its application takes its key from us. */
export function enrolledRecord(seen?: ObservedClient): ClientRecord {
  return enrolled(heldRecord(seen), OPERATOR).record;
}

/** A client with foreign keys alone whose rotation somebody asked for all the same. */
export function takenOver(seen?: ObservedClient, policy: ClientPolicy = POLICY): ClientRecord {
  return request(foundRecord(seen), asked('r1', null, true), policy, START).record;
}

export function signersHold(current: string | null, next: string | null = null, previous: string | null = null) {
  const delivered: Delivery = { current, next, previous };
  return { delivered, tries: NO_TRIES };
}

export function withServer(record: ClientRecord, change: Partial<ServerSide>): ClientRecord {
  return { ...record, server: { ...record.server, ...change } };
}

/** The server was just seen to show that. */
export function seeing(record: ClientRecord, seen: Partial<ObservedClient>, at = START): ClientRecord {
  return withServer(record, { observed: { client: { ...record.server.observed.client, ...seen }, at } });
}

export function withRotation(
  record: ClientRecord,
  change: Partial<Omit<Rotation, 'strategy' | 'phase'>>,
): ClientRecord {
  if (record.rotation === null) throw new Error('there is no rotation to change');
  return { ...record, rotation: { ...record.rotation, ...change } };
}

export function key(kid: string, state: KeyState, change: Partial<ManagedKey> = {}): ManagedKey {
  return {
    ...material(kid, change.alg),
    state,
    createdAt: START,
    publishedAt: null,
    activatedAt: state === 'active' ? START : null,
    proof: null,
    ...change,
  };
}

export type PhaseName = Rotation['phase']['name'];

const NOTHING_SENT: ReadonlySet<PhaseName> = new Set(['requested', 'stored', 'delivered']);

type RotationChange = Partial<Omit<Rotation, 'strategy' | 'phase'>>;

/** A rotation `r1` in that phase, which brings in the key `b`. */
export function rotation(strategy: Rotation['strategy'], name: PhaseName, change: RotationChange = {}): Rotation {
  return {
    ...OPERATOR,
    id: 'r1',
    startedAt: START,
    alg: 'ES256',
    format: 'jwks',
    foreignKeys: 'keep',
    compromised: null,
    before: NOTHING_SENT.has(name) ? null : shown(['a']),
    keysMade: name === 'requested' ? 0 : 1,
    abandoned: null,
    marks: [],
    tries: NO_TRIES,
    ...change,
    strategy,
    phase: { name, kid: 'b', at: START, why: 'the proof failed' },
  } as Rotation; // members that a phase does not have are never looked at
}

/** Active key `a`, and a rotation in that phase; signers hold what they should by then, and the server shows what was sent. */
export function rotating(
  strategy: Rotation['strategy'],
  name: PhaseName,
  change: Partial<ClientRecord> = {},
  rotationChange: RotationChange = {},
): ClientRecord {
  const calm = enrolledRecord();
  const fresh = key('b', 'pre-active', { alg: rotationChange.alg ?? 'ES256' });
  const early = name === 'requested' || name === 'stored';
  return {
    ...calm,
    rotation: rotation(strategy, name, rotationChange),
    keys: name === 'requested' ? calm.keys : [...calm.keys, fresh],
    signers: signersHold('a', early ? null : 'b'),
    ...change,
  };
}

export function summary(id: string, change: Partial<RotationSummary> = {}): RotationSummary {
  return {
    ...OPERATOR,
    id,
    state: 'active',
    strategy: 'overlap',
    kid: 'b',
    replaces: 'a',
    startedAt: START,
    activeAt: START,
    endedAt: null,
    error: null,
    marks: [],
    ...change,
  };
}

/** The key `a` on its way out, replaced by the rotation `r0`. */
export function retirement(phase: Retirement['phase'], change: Partial<Retirement> = {}): Retirement {
  const kid = change.kid === undefined ? 'a' : change.kid;
  return {
    kid,
    role: 'replaced',
    phase,
    until: phase === 'overlap' ? START + 10 * MINUTE : START,
    names: kid === null ? [] : [kid],
    rotation: summary('r0'),
    foreignKeys: 'keep',
    tries: NO_TRIES,
    ...change,
  };
}

/** A key that never became active on its way out, of the rotation `r1` unless told otherwise. */
export function discard(kid: string, phase: Retirement['phase'] = 'refused', rotationId = 'r1'): Retirement {
  return retirement(phase, { kid, role: 'discarded', rotation: summary(rotationId, { state: 'running' }) });
}

/** No rotation under way: active key `b`, and `a` on its way out. */
export function retiringRecord(old: Retirement, change: Partial<ClientRecord> = {}): ClientRecord {
  const stays = old.role === 'replaced' && old.phase !== 'refused';
  const calm = seeing(enrolledRecord(), { keys: [published('a'), published('b')] });
  return {
    ...calm,
    keys: [key('a', 'deactivated'), key('b', 'active')],
    signers: signersHold('b', null, stays ? 'a' : null),
    retirements: [old],
    ...change,
  };
}

export function typesOf({ entries }: Transition): readonly AuditType[] {
  return entries.map(({ type }) => type);
}

export function stateOf(record: ClientRecord, kid: string): KeyState | undefined {
  return findKey(record, kid)?.state;
}

export function kidsOf(document: KeyDocument | null): readonly unknown[] | undefined {
  return document?.format === 'jwks' ? document.keys.map(({ jwk }) => jwk.kid) : undefined;
}
