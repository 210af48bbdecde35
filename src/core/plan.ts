/**
 * What to do next for one client: a pure function of its record, its policy and the time. Small policy functions in a chain, first hit wins;
 * each says what would break if it were swapped with its neighbour.
 */
import { desiredDelivery, desiredDocument, desiredServed, sameDelivery, sameDocument, servesOther } from './desired.ts';
import type { KeyDocument, PublicJwk } from './document.ts';
import { activeKey, isReplaced } from './keys.ts';
import type { ClientPolicy } from './policy.ts';
import { readBack } from './readback.ts';
import type { ClientRecord, Delivery, Retirement, Rotation } from './record.ts';

export type Purpose = 'publish' | 'cut_over' | 'revert' | 'withdraw' | 'repair';

export type Step =
  | { readonly do: 'fail'; readonly why: string }
  | { readonly do: 'generate'; readonly rotation: Rotation }
  | { readonly do: 'deliver'; readonly delivery: Delivery }
  /** Read the server's document, so that nobody else's change is overwritten. */
  | { readonly do: 'observe' }
  /** Write the public set where `jwks_uri` points. */
  | { readonly do: 'serve'; readonly keys: readonly PublicJwk[]; readonly purpose: Purpose }
  | { readonly do: 'patch'; readonly document: KeyDocument; readonly purpose: Purpose }
  /** The server already holds the desired document. */
  | { readonly do: 'settle' }
  | { readonly do: 'prove'; readonly kid: string; readonly expect: 'accepted' | 'refused' }
  /** `prove: read_back`: go on without a proof, and say so in the record. */
  | { readonly do: 'take_unproven'; readonly kid: string | null; readonly expect: 'accepted' | 'refused' }
  | { readonly do: 'destroy'; readonly retirement: Retirement }
  | { readonly do: 'wait'; readonly until: number; readonly why: string }
  | { readonly do: 'done' };

/** How old, in ms, an observation may be when a new document replaces what was observed. */
export const FRESH_MS = 5_000;

/** The age of an observation that has to be made again, whatever the time. */
export const UNSETTLED = 0;

/** Moves what only time moves: an overlap that has run out begins to be withdrawn. */
export function ripen(record: ClientRecord, now: number): ClientRecord {
  const isRipe = (old: Retirement) => old.kind === 'overlap' && old.phase === 'waiting' && now >= old.until;
  if (!record.retiring.some(isRipe)) return record;
  return {
    ...record,
    retiring: record.retiring.map((old) =>
      old.kind === 'overlap' && isRipe(old) ? { ...old, phase: 'withdrawing' as const } : old,
    ),
  };
}

type Part = (record: ClientRecord, policy: ClientPolicy, now: number) => Step | null;

/** Works on a {@link ripen}ed record. */
export function plan(record: ClientRecord, policy: ClientPolicy, now: number): Step {
  const waits: Extract<Step, { do: 'wait' }>[] = [];
  for (const part of PARTS) {
    const step = part(record, policy, now);
    if (step === null) continue;
    if (step.do !== 'wait') return step;
    if (part === backingOff) return step;
    waits.push(step);
  }
  const [first, ...others] = waits;
  if (first === undefined) return { do: 'done' };
  return others.reduce((soonest, wait) => (wait.until < soonest.until ? wait : soonest), first);
}

const halted: Part = (record) => (record.halted === null ? null : { do: 'done' });

const backingOff: Part = (record, _policy, now) =>
  now < record.notBefore ? { do: 'wait', until: record.notBefore, why: 'backing off' } : null;

/** What the policy asks for and this client cannot have. Comes before a key is made: nothing to clean up then. */
const impossible: Part = (record, policy) => {
  if (record.rotation?.phase.name !== 'requested') return null;
  const why = obstacle(record, record.rotation, policy);
  return why === null ? null : { do: 'fail', why };
};

/**
 * After what signers hold is known: a rotation that does not get through to them would leave one more key behind each time. Not after a compromise,
 * where the key that cannot be handed to them may be the one to be replaced.
 */
const generating: Part = ({ rotation, delivered }) => {
  if (rotation?.phase.name !== 'requested') return null;
  return delivered === null && rotation.compromised === null ? null : { do: 'generate', rotation };
};

/**
 * Before any publication: a key that signers do not hold yet must not be the only one the server takes. Before any destruction: signers let
 * go of a key first.
 */
const delivering: Part = (record) => {
  const delivery = desiredDelivery(record);
  return sameDelivery(record.delivered, delivery) ? null : { do: 'deliver', delivery };
};

/** A cutover would cut short the overlap of keys that still wait for their time, so it lets them go first. */
const holdingForOverlap: Part = (record) => {
  const { rotation } = record;
  if (rotation?.strategy !== 'cutover' || rotation.phase.name !== 'delivered' || rotation.compromised) return null;
  const until = record.retiring.flatMap((old) =>
    old.kind === 'overlap' && old.phase === 'waiting' ? [old.until] : [],
  );
  return until.length === 0
    ? null
    : { do: 'wait', until: Math.max(...until), why: 'an older key is still in its overlap' };
};

const publishing: Part = (record, policy, now) => {
  const purpose = publicationPurpose(record, policy);
  if (purpose === null || holdingForOverlap(record, policy, now) !== null) return null;
  const document = desiredDocument(record, policy);
  const { inFlight } = record;
  const same = inFlight !== null && document !== null && sameDocument(inFlight.document, document);
  // A PATCH with unknown outcome may still arrive. Another document sent now could be undone by it.
  if (inFlight !== null && !same && now < inFlight.deadline) {
    return { do: 'wait', until: inFlight.deadline, why: 'an earlier PATCH may still arrive' };
  }
  if (document === null) return { do: 'settle' };
  if (record.observed.at < now - FRESH_MS) return { do: 'observe' };
  if (servesOther(record, policy)) return { do: 'serve', keys: desiredServed(record, policy) ?? [], purpose };
  const { client } = record.observed;
  // A server that shows both kinds does not tell which of them it goes by: probably the one that was sent last.
  const isPlain = client.jwksUri === null || client.keys.length === 0;
  if (inFlight === null && isPlain && readBack(document, client) === null) return { do: 'settle' };
  return { do: 'patch', document, purpose };
};

/** Why the server's document has to change now, or null. */
export function publicationPurpose(record: ClientRecord, policy: ClientPolicy): Purpose | null {
  const { rotation } = record;
  if (rotation?.phase.name === 'reverting') return 'revert';
  if (rotation?.phase.name === 'delivered') return rotation.strategy === 'overlap' ? 'publish' : 'cut_over';
  if (record.retiring.some((old) => old.kind === 'overlap' && old.phase === 'withdrawing')) return 'withdraw';
  if (rotation !== null || record.published === null) return null;
  return hasDrifted(record, policy) || servesOther(record, policy) ? 'repair' : null;
}

/** True when somebody changed what we had published. */
export function hasDrifted(record: ClientRecord, policy: ClientPolicy): boolean {
  if (record.published === null || activeKey(record) === undefined) return false;
  const document = desiredDocument(record, policy);
  return document !== null && readBack(document, record.observed.client) !== null;
}

/** The proof comes before signers flip: a key that was read back may still be one that nobody can sign in with. */
const provingNew: Part = (record, policy, now) => {
  const { rotation } = record;
  if (rotation === null || (rotation.phase.name !== 'published' && rotation.phase.name !== 'cut_over')) return null;
  const { kid, at } = rotation.phase;
  // Servers may cache a set. Nothing depends on the new key yet, so it can wait; after a cutover everything does, so it must not.
  const soaked = rotation.phase.name === 'published' ? at + policy.propagationMs : at;
  if (now < soaked) return { do: 'wait', until: soaked, why: 'the new key propagates' };
  if (policy.prove === 'read_back') return { do: 'take_unproven', kid, expect: 'accepted' };
  return { do: 'prove', kid, expect: 'accepted' };
};

const retiring: Part = (record, policy, now) => {
  const steps = record.retiring.flatMap((old) => retire(old, record, policy, now) ?? []);
  const ready = steps.find((step) => step.do !== 'wait');
  if (ready !== undefined) return ready;
  const waits = steps.filter((step) => step.do === 'wait');
  return waits.reduce<Step | null>(
    (soonest, wait) => (soonest?.do === 'wait' && soonest.until <= wait.until ? soonest : wait),
    null,
  );
};

function retire(old: Retirement, { rotation }: ClientRecord, policy: ClientPolicy, now: number): Step | null {
  if (old.kind === 'discard') {
    return isReplaced(old, rotation) ? null : { do: 'destroy', retirement: old };
  }
  switch (old.phase) {
    case 'waiting':
      if (now < old.until) return { do: 'wait', until: old.until, why: 'the old key is in its overlap' };
      return proveRefused(old.kid, policy);
    case 'withdrawing':
      return null; // publication is under way
    case 'withdrawn':
      return proveRefused(old.kid, policy);
    case 'refused':
      return { do: 'destroy', retirement: old };
    default:
      return old satisfies never;
  }
}

/** The old private half is destroyed only after the server is seen to refuse it: until then it is the way to see that it does. */
function proveRefused(kid: string | null, policy: ClientPolicy): Step {
  if (kid === null || policy.prove === 'read_back') return { do: 'take_unproven', kid, expect: 'refused' };
  return { do: 'prove', kid, expect: 'refused' };
}

/** What came of a PATCH that was never answered shows in a list that was read after its deadline. Last: nothing waits for that. */
const landing: Part = ({ inFlight }, _policy, now) => {
  if (inFlight === null) return null;
  const until = inFlight.deadline + FRESH_MS;
  return now < until ? { do: 'wait', until, why: 'an earlier PATCH may still arrive' } : { do: 'observe' };
};

const PARTS: readonly Part[] = [
  halted,
  backingOff,
  impossible,
  generating,
  delivering,
  publishing,
  holdingForOverlap,
  provingNew,
  retiring,
  landing,
];

/** The alg that the client's present key signs with, as far as it can be told. */
function presentAlg(record: ClientRecord): string {
  const active = activeKey(record);
  if (active !== undefined) return active.alg;
  const { alg, keys } = record.observed.client;
  if (alg !== null) return alg;
  const [first] = keys;
  if (typeof first?.alg === 'string') return first.alg;
  if (first?.kty === 'EC') return first.crv === 'P-384' ? 'ES384' : first.crv === 'P-521' ? 'ES512' : 'ES256';
  if (first?.kty === 'OKP') return 'EdDSA';
  return 'RS256';
}

/** Why this rotation cannot be done as the policy says, or null. */
function obstacle(record: ClientRecord, rotation: Rotation, policy: ClientPolicy): string | null {
  const { keys, jwksUri } = record.observed.client;
  // A client that is sent to a served set shows no keys, and has some all the same.
  const hasKeys = activeKey(record) !== undefined || keys.length > 0 || jwksUri !== null;
  if (rotation.strategy === 'overlap' && hasKeys && presentAlg(record) !== rotation.alg) {
    return (
      `strategy overlap cannot change the alg from ${presentAlg(record)} to ${rotation.alg}: the server verifies one alg per client. ` +
      'Set strategy: auto (or cutover) in the policy until the new alg is in use.'
    );
  }
  const foreign = record.foreign.length;
  if (rotation.format === 'pem' && policy.foreignKeys === 'keep' && foreign > 1) {
    return (
      `format pem holds one key, and ${foreign} foreign keys are published. ` +
      'Set foreign_keys: retire to replace them, or format: jwks to keep them.'
    );
  }
  if (rotation.format === 'jwks_uri' && policy.jwksUri === null) {
    return 'format jwks_uri needs a place to serve the set from. Set publish.path and publish.base_url in the config.';
  }
  return null;
}
