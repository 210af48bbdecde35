/** Taking over the private key that a client already signs with: proven first, then into the store, then to the signers. */
import { type ClientRef, makeReference, misnamed, notListed, splitReference, unconfigured } from '../core/client.ts';
import type { ObservedClient } from '../core/document.ts';
import { enrolled, found, imported, importedKid, observed, standingOf } from '../core/enrolment.ts';
import type { Cause } from '../core/history.ts';
import { type Algorithm, activeKey, isAlgorithm, type ManagedKey } from '../core/keys.ts';
import type { Enrolment } from '../core/record.ts';
import { shortMessage } from '../core/reply.ts';
import { andThen, type Transition } from '../core/transition.ts';
import { hasCode, RekeydError } from '../errors.ts';
import type { FreshKey } from '../keys/generate.ts';
import { importPrivateKey } from '../keys/import.ts';
import type { Kek } from '../keys/kek.ts';
import { sealKey } from '../keys/sealed.ts';
import { type Lanes, openLanes } from '../parallel.ts';
import type { Loaded } from '../store/records.ts';
import { commitOf, isOutrun } from './commit.ts';
import { deliverNow } from './deliver-now.ts';
import { proveImport } from './import-proof.ts';
import type { Tools } from './loop.ts';
import { clientPolicy, type RotationPolicy } from './policy.ts';
import type { Resources } from './resources.ts';

export interface Import {
  readonly ref: ClientRef;
  /** A private key in any form that `keys/private-file.ts` reads, as text or as the bytes of a file. */
  readonly text: string | Uint8Array;
  /** For an RSA key that does not say; when absent, what the client is registered with. */
  readonly alg?: Algorithm;
  /** For an encrypted PEM. */
  readonly passphrase?: Uint8Array;
  /** The key is taken without a proof: for places from which no issuer can be reached. */
  readonly unproven?: boolean;
  /** A person says that the application takes its key from us. */
  readonly enroll: boolean;
  readonly cause: Cause;
}

/** The client as the server listed it at `readAt`, ms on the store's clock. */
export interface Listed {
  readonly client: ObservedClient;
  readonly readAt: number;
}

/** `imported`: now. `active`: it was imported before. `replaced`: it was, and a rotation has put another key in its place since. */
export type ImportOutcome = 'imported' | 'active' | 'replaced';

export interface Imported {
  readonly outcome: ImportOutcome;
  /** The active key of the client, as it is managed now. */
  readonly key: Pick<ManagedKey, 'kid' | 'thumbprint' | 'alg' | 'proof'>;
  readonly enrolment: Enrolment;
}

export interface ImportTools {
  readonly signal: AbortSignal;
  /** How many proofs are sent at once. */
  readonly proofs: Lanes;
  /** As of the loop; `read`, `proven` and `committed` come before its own. */
  readonly onPoint?: Tools['onPoint'];
}

const NEVER = new AbortController().signal;

/**
 * Reads the list of the client's app once, and sends no key material. Run again, it goes on where it was interrupted: a key that is in the store is only
 * delivered.
 * @throws RekeydError `not_found` (client or policy), and as {@link importListed}
 */
export async function importKey(resources: Resources, keks: readonly Kek[], asked: Import): Promise<Imported> {
  const { ref } = asked;
  expectPolicy(resources, ref);
  const readAt = await resources.store.now();
  const client = await resources.deploymentOf(ref).lists.find(ref);
  if (client === null) throw new RekeydError('not_found', await whyNotListed(resources, ref));
  const tools = { signal: NEVER, proofs: openLanes(1) };
  try {
    return await importListed(resources, keks, asked, { client, readAt }, tools);
  } finally {
    // Also when signers could not be given what the store holds.
    await resources.guard.remember();
  }
}

/**
 * The same for a client that is listed already: an import of many reads each list once.
 * @throws RekeydError `key_invalid` (unusable, or not the published one), `key_refused` (nobody signs in with it), `key_unproven`, `not_eligible`, `sink_failed`
 * (imported, but signers do not have it yet: a worker tries again), ApiError
 */
export async function importListed(
  resources: Resources,
  keks: readonly Kek[],
  asked: Import,
  listed: Listed,
  tools: ImportTools,
): Promise<Imported> {
  const { ref } = asked;
  const policy = expectPolicy(resources, ref);
  const checked = await check(resources, policy, asked, listed, tools);
  if (checked.proof === 'accepted') await resources.facts.noteProven(ref, checked.key.alg);
  const outcome = await take({ ...asked, ...checked, listed }, policy, resources, keks);
  await tools.onPoint?.('committed', ref);
  await deliverNow(resources, keks, policy, ref, tools);
  const { record } = (await resources.store.load(ref)) ?? {};
  const active = record === undefined ? undefined : activeKey(record);
  if (record === undefined || active === undefined) throw changedMeanwhile(ref);
  return { outcome, key: active, enrolment: record.enrolment };
}

/** What {@link importListed} would do. Proves the key, and changes nothing. @throws as that */
export async function checkImport(
  resources: Resources,
  asked: Import,
  listed: Listed,
  tools: ImportTools,
): Promise<Imported> {
  const policy = expectPolicy(resources, asked.ref);
  const checked = await check(resources, policy, asked, listed, tools);
  const loaded = await resources.store.load(asked.ref);
  const { standing, record } = changeOf(loaded, { ...asked, ...checked, listed }, policy);
  const active = activeKey(record);
  if (active === undefined) throw new Error(`the import of ${asked.ref} would leave it without an active key`);
  return { outcome: standing ?? 'imported', key: active, enrolment: record.enrolment };
}

function changedMeanwhile(ref: ClientRef): RekeydError {
  return new RekeydError('store_conflict', `${ref} was changed meanwhile. Look at its status, and try again.`);
}

function expectPolicy(resources: Resources, ref: ClientRef): RotationPolicy {
  const policy = clientPolicy(resources, ref);
  if (policy !== null) return policy;
  throw new RekeydError('not_found', unconfigured(ref));
}

async function whyNotListed(resources: Resources, ref: ClientRef): Promise<string> {
  const { deployment, app } = splitReference(ref);
  const { clients } = await resources.deploymentOf(ref).wacht.listClients(app);
  const ids = clients.map(({ id, clientId }) => [makeReference(deployment, app, id), clientId] as const);
  return misnamed(ref, ids) ?? notListed(ref);
}

interface Checked {
  readonly key: FreshKey;
  readonly proof: 'accepted' | null;
  /** It was imported before, so it was not proven again. */
  readonly isKnown: boolean;
}

/** Reads the key, and proves it: but only one that would be taken. */
async function check(
  resources: Resources,
  policy: RotationPolicy,
  { ref, text, alg, passphrase, unproven = false, cause }: Import,
  { client, readAt }: Listed,
  tools: ImportTools,
): Promise<Checked> {
  const registered = client.alg !== null && isAlgorithm(client.alg) ? client.alg : undefined;
  const key = await importPrivateKey(text, alg, {
    ...(registered !== undefined && { registered }),
    ...(passphrase !== undefined && { passphrase }),
  });
  await tools.onPoint?.('read', ref);
  const loaded = await resources.store.load(ref);
  const { record } = seen(loaded, ref, { client, readAt }, policy, cause);
  if (standingOf(record, key) !== null) return { key, proof: null, isKnown: true };
  const kid = importedKid(record, key);
  if (unproven || policy.prove === 'read_back') return { key, proof: null, isKnown: false };
  try {
    await tools.proofs.run(() => proveImport(resources, ref, client, key, kid, tools.signal), false, tools.signal);
  } catch (error) {
    if (!tools.signal.aborted) await noteRefused(resources, ref, key, kid, cause, error);
    throw error;
  }
  await tools.onPoint?.('proven', ref);
  return { key, proof: 'accepted', isKnown: false };
}

/** A refused key changes nothing, but somebody has tried to sign in as this client. */
async function noteRefused(
  { store }: Resources,
  ref: ClientRef,
  { thumbprint, alg }: FreshKey,
  kid: string,
  { actor, claimedBy, reason }: Cause,
  error: unknown,
): Promise<void> {
  if (!hasCode(error, 'key_refused') && !hasCode(error, 'key_unproven')) return;
  const who = { actor, ...(claimedBy !== undefined && { claimed_by: claimedBy }), reason };
  const data = { kid, thumbprint, alg, code: error.code, error: shortMessage(error.message) };
  await store.append([{ type: 'key.import_refused', client: ref, rotation: null, ...who, data }]);
}

/** The record as the list shows it, unless the client was seen since the list was read. */
function seen(
  loaded: Loaded | null,
  ref: ClientRef,
  { client, readAt }: Listed,
  policy: RotationPolicy,
  cause: Cause,
): Transition {
  if (loaded === null) return found(ref, client, cause, readAt);
  const { record } = loaded;
  const isNews = record.doubted || readAt > record.server.observed.at;
  return isNews ? observed(record, client, policy, readAt) : { record, entries: [] };
}

type Taking = Import & Checked & { readonly listed: Listed };

function changeOf(loaded: Loaded | null, { ref, enroll, cause, key, proof, listed }: Taking, policy: RotationPolicy) {
  const now = loaded?.now ?? listed.readAt;
  const known = seen(loaded, ref, listed, policy, cause);
  const { id, thumbprint, alg, jwk, pem } = key;
  const standing = standingOf(known.record, key);
  const material = { id, thumbprint, alg, jwk, pem };
  const taken = standing === null ? andThen(known, (record) => imported(record, material, cause, now, proof)) : known;
  const change = enroll ? andThen(taken, (record) => enrolled(record, cause)) : taken;
  return { ...change, standing };
}

/** Another commit in between is no failure: the record is loaded again. */
async function take(
  taking: Taking,
  policy: RotationPolicy,
  { store }: Resources,
  keks: readonly Kek[],
): Promise<ImportOutcome> {
  const { ref, key } = taking;
  const { thumbprint } = key;
  let jwe: string | null = null;
  for (;;) {
    const loaded = await store.load(ref);
    const { standing, ...change } = changeOf(loaded, taking, policy);
    if (standing !== null && change.record.enrolment === loaded?.record.enrolment) return standing;
    if (standing === null && taking.isKnown) throw changedMeanwhile(ref);
    if (standing === null) jwe ??= await sealKey(key.privateKey, { ref, thumbprint }, keks);
    const seal = standing === null && jwe !== null ? [{ thumbprint, jwe }] : [];
    try {
      await store.commit(commitOf({ ...change, seal }, policy, { from: loaded, durable: true }));
      return standing ?? 'imported';
    } catch (error) {
      if (!isOutrun(error)) throw error;
    }
  }
}
