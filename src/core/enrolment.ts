/** Finding, importing and enrolling a client. */
import { RekeydError } from '../errors.ts';
import type { ClientRef } from './client.ts';
import { foreignKeys, isSameKey } from './desired.ts';
import type { ObservedClient } from './document.ts';
import { resolveDoubt } from './doubt.ts';
import { drifting } from './drift.ts';
import { isEligible } from './due.ts';
import type { Cause } from './history.ts';
import { activeKey, holds, type KeyMaterial, type ManagedKey } from './keys.ts';
import { presentFormat } from './obstacle.ts';
import type { ClientPolicy } from './policy.ts';
import type { ClientRecord } from './record.ts';
import { FRESH_MS, newServerSide } from './server.ts';
import { shownNames } from './shown.ts';
import { NOTHING_DELIVERED } from './signers.ts';
import { entry, type Transition } from './transition.ts';
import { NO_TRIES } from './tries.ts';

/** A client that is seen for the first time. All of its keys are foreign. */
export function found(ref: ClientRef, client: ObservedClient, cause: Cause, now: number): Transition {
  const record: ClientRecord = {
    v: 2,
    ref,
    clientId: client.clientId,
    foundAt: now,
    enrolment: 'found',
    keys: [],
    former: [],
    rotation: null,
    retirements: [],
    server: newServerSide(client, now),
    signers: { delivered: NOTHING_DELIVERED, tries: NO_TRIES },
    failure: null,
    halted: null,
  };
  const data = {
    client_id: client.clientId,
    alg: client.alg,
    keys: client.keys.length,
    ...shownNames(client),
  };
  return { record, entries: [entry(record, { id: null, ...cause }, 'client.found', data)] };
}

/** Takes in what the server shows now; `null` when it no longer lists the client. */
export function observed(
  record: ClientRecord,
  client: ObservedClient | null,
  policy: ClientPolicy,
  now: number,
): Transition {
  const { server } = record;
  const seen = client ?? { ...server.observed.client, active: false };
  const landed = server.inFlight !== null && now >= server.inFlight.deadline + FRESH_MS;
  const next: ClientRecord = {
    ...record,
    clientId: seen.clientId,
    server: { ...server, observed: { client: seen, at: now }, inFlight: landed ? null : server.inFlight },
  };
  if (record.doubted) return resolveDoubt(record, next, now);
  const change = drifting(record, next, policy, now);
  return { ...change, record: withoutRestored(change.record) };
}

/** What was to be put back is there. */
function withoutRestored(record: ClientRecord): ClientRecord {
  const { restores, ...others } = record;
  if (restores === undefined) return record;
  const shown = foreignKeys(record);
  return restores.every((key) => shown.some((other) => isSameKey(key, other))) ? others : record;
}

/** Of a key that is imported once more: it is the active one, or was, and rekeyd has replaced it since. Null: neither. */
export function standingOf(record: ClientRecord, { id }: Pick<KeyMaterial, 'id'>): 'active' | 'replaced' | null {
  const active = activeKey(record);
  if (active === undefined) return null;
  if (active.id === id) return 'active';
  const former = record.former.find((key) => key.id === id);
  if (former?.compromised) return null;
  return former !== undefined || record.keys.some((key) => key.id === id) ? 'replaced' : null;
}

/**
 * Takes over the private key that the client already signs with. It keeps the kid that it is published under, so that an application which goes on
 * signing with it is not disturbed.
 * @param proof null: nobody saw it sign in
 * @throws RekeydError `key_invalid` when the key is not published, or another one is active; `not_eligible`
 */
export function imported(
  record: ClientRecord,
  key: Omit<KeyMaterial, 'kid'>,
  cause: Cause,
  now: number,
  proof: 'accepted' | null = null,
): Transition {
  const kid = importedKid(record, key);
  const isListed = record.server.observed.client.keys.some((shown) => holds(shown, key.id));
  const managed: ManagedKey = {
    ...key,
    kid,
    state: 'active',
    createdAt: now,
    publishedAt: now,
    activatedAt: now,
    proof,
  };
  const next: ClientRecord = {
    ...decided(givenAgain(record)),
    enrolment: record.enrolment === 'found' ? 'held' : record.enrolment,
    keys: [...record.keys, managed],
    former: record.former.filter(({ id }) => id !== key.id),
    server: { ...record.server, format: isListed ? presentFormat(record) : 'jwks_uri' },
  };
  const on = { id: null, ...cause };
  const data = { kid, thumbprint: key.thumbprint, id: key.id, alg: key.alg, proof: proof ?? 'none' };
  const told = entry(next, on, 'key.imported', data);
  const entries = record.enrolment === 'found' ? [told, entry(next, on, 'client.held', { kid })] : [told];
  return { record: next, entries };
}

/** Under which kid a key would be imported: the one that it is published under, else its thumbprint. @throws RekeydError as {@link imported} */
export function importedKid(record: ClientRecord, key: Pick<KeyMaterial, 'id' | 'thumbprint'>): string {
  const { ref } = record;
  const { client } = record.server.observed;
  const active = activeKey(record);
  if (record.rotation?.adopting) {
    throw new RekeydError(
      'key_invalid',
      `A key of ours is offered to the application of ${ref}: nothing was imported. Let it take that one, or withdraw it (\`rekeyd abandon ${ref}\`) and import again.`,
    );
  }
  if (active !== undefined || record.rotation !== null) {
    const managed = active?.kid ?? 'in rotation';
    throw new RekeydError('key_invalid', `${ref} already has a managed key (${managed}): nothing was imported.`);
  }
  if (!isEligible(client)) throw notImportable(ref, client);
  const published = client.keys.find((shown) => holds(shown, key.id));
  if (published === undefined && client.jwksUri === null) {
    throw new RekeydError(
      'key_invalid',
      `The server has no such key published for ${ref}, so nobody signs in with it. Import the key that the client uses now.`,
    );
  }
  if (record.former.some(({ id, compromised }) => compromised && id === key.id)) {
    throw new RekeydError(
      'key_invalid',
      `This key of ${ref} was reported as compromised: nothing was imported. Import the key that replaced it.`,
    );
  }
  const name = published?.jwk.kid;
  return typeof name === 'string' && name !== '' ? name : key.thumbprint;
}

function notImportable(ref: ClientRef, { probe, active, authMethod }: ObservedClient): RekeydError {
  if (probe !== undefined) {
    const why = 'is a disposable client that a probe made: nothing was imported. The next probe of its app removes it.';
    return new RekeydError('not_eligible', `${ref} ${why}`);
  }
  const why = active ? `authenticates with ${authMethod}, which has no keys` : 'is not active';
  return new RekeydError('not_eligible', `${ref} ${why}: nothing was imported. Only private_key_jwt has keys.`);
}

/** In this order: an application that was enrolled before it reads its key folder cannot sign in after its next rotation. */
export function howToEnroll(client: string): string {
  return `Import its key (\`rekeyd keys import ${client} --file KEY\`), let its application read its key folder, then \`rekeyd enroll ${client}\`.`;
}

/**
 * The application takes its key from us: a person or a signer says so, or the server takes no other key.
 * @throws RekeydError `not_enrolled` when there is no key of ours that it could take
 */
export function enrolled(record: ClientRecord, cause: Cause & { readonly id?: string | null }): Transition {
  if (record.enrolment === 'enrolled') return { record, entries: [] };
  if (activeKey(record) === undefined) {
    const { ref, rotation } = record;
    if (rotation !== null) {
      throw new RekeydError(
        'not_enrolled',
        `${ref}: its key is being replaced (rotation ${rotation.id}). The client is enrolled when the new key is in use.`,
      );
    }
    throw new RekeydError(
      'not_enrolled',
      `${ref} has no key of ours that its application could take. ${howToEnroll(ref)} Or replace its key (\`rekeyd rotate ${ref} --take-over\`): then its application must take the new one from its key folder at once, or it cannot sign in.`,
    );
  }
  const next: ClientRecord = { ...givenAgain(record), enrolment: 'enrolled' };
  const data = { kid: activeKey(record)?.kid ?? null, from: record.enrolment };
  return { record: next, entries: [entry(next, { id: null, ...cause }, 'client.enrolled', data)] };
}

/** A person has said which key is right: what drifted before is not compared any more, and keys that were set aside are not made the client's again. */
function decided({ settled: _, drift: __, ...record }: ClientRecord): ClientRecord {
  return record;
}

/** A released client is ours again when a person imports its key or enrolls it. */
function givenAgain({ released: _, ...record }: ClientRecord): ClientRecord {
  return record;
}
