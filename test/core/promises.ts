/** What rekeyd promises, as checks of a simulated world: some hold at every moment, some once nothing is left to do. */
import { desiredDelivery, desiredDocument, sameDelivery } from '../../src/core/desired.ts';
import { publicationPurpose } from '../../src/core/plan.ts';
import type { ClientPolicy } from '../../src/core/policy.ts';
import { samePublicKey } from '../../src/core/public-key.ts';
import { readBack } from '../../src/core/readback.ts';
import type { ClientRecord, Delivery } from '../../src/core/record.ts';
import { material } from './support.ts';
import type { World } from './world.ts';

/** What was asked for that no promise covers. */
export interface Excuses {
  /** A compromise cuts keys off on purpose. */
  compromised: boolean;
  /** `foreign_keys: retire`, a single PEM or a compromise let keys of others go. */
  foreignMayGo: boolean;
  /** Keys of others that were published, and must stay. */
  readonly foreign: string[];
  /** Keys of others that somebody took away by hand, and meant it. */
  readonly taken: string[];
}

export class Promises {
  readonly excuses: Excuses = { compromised: false, foreignMayGo: false, foreign: ['foreign-1'], taken: [] };
  /** Keys of others that the server took at some time, and those of them that it no longer took when all was done. */
  readonly #taken = new Set<unknown>();
  readonly #gone = new Set<unknown>();
  #before: ClientRecord;
  #auditSeen = 0;

  constructor(record: ClientRecord) {
    this.#before = record;
  }

  /** After every single effect and commit. */
  check(world: World, what: string, policy: ClientPolicy): void {
    const { record } = world;
    checkActive(world, this.#before);
    checkPrivateHalves(world);
    for (const sink of world.sinks) {
      const current = sink?.current ?? null;
      if (current !== null && !world.proven.has(current)) wrong(world, `${current} signs without a proof`);
    }
    if (!this.excuses.compromised) checkLogins(world);
    if (!this.excuses.foreignMayGo) this.#checkForeign(world);
    this.#checkGone(world, policy);
    if (what.startsWith('commit')) this.#checkAudit(world, what);
    this.#before = record;
  }

  #checkForeign(world: World): void {
    for (const kid of this.excuses.foreign) {
      if (!world.server.keys.some((key) => key.kid === kid)) wrong(world, `${kid} was dropped`);
    }
    for (const kid of this.excuses.taken) {
      if (world.server.keys.some((key) => key.kid === kid)) wrong(world, `${kid} was taken away, and is back`);
    }
    if (!world.effective().some((key) => key.kid === 'foreign-1')) wrong(world, 'foreign-1 is not served');
  }

  /** Whatever let a key of somebody else go, no later rotation brings it back. */
  #checkGone(world: World, policy: ClientPolicy): void {
    const { rotation, retiring, inFlight } = world.record;
    const taken = new Set(world.effective().flatMap(({ kid = '' }) => (`${kid}`.startsWith('foreign') ? [kid] : [])));
    for (const kid of taken) {
      if (this.#gone.has(kid)) wrong(world, `${kid} was let go, and is back`);
      this.#taken.add(kid);
    }
    const isBusy = rotation !== null || retiring.length > 0 || inFlight !== null;
    if (isBusy || publicationPurpose(world.record, policy) !== null) return;
    for (const kid of this.#taken) if (!taken.has(kid)) this.#gone.add(kid);
  }

  /** Every change of a key's state stands in exactly one entry, committed with it. */
  #checkAudit(world: World, what: string): void {
    const entries = world.audit.slice(this.#auditSeen);
    this.#auditSeen = world.audit.length;
    if (/commit (?:announced|serving)/.test(what) && !entries.some(({ type }) => type === 'key.publishing')) {
      wrong(world, 'something is published without an intent');
    }
    const told = entries.flatMap(({ data: { kid, from, to } }) =>
      to === undefined ? [] : [`${kid}: ${from} -> ${to}`],
    );
    const before = new Map(this.#before.keys.map(({ kid, state }) => [kid, state]));
    const changed = world.record.keys.flatMap(({ kid, state }) => {
      const was = before.get(kid) ?? null;
      return was === state ? [] : [`${kid}: ${was} -> ${state}`];
    });
    if (told.sort().join() !== changed.sort().join()) {
      wrong(world, `the audit trail tells [${told}], and what changed is [${changed}]`);
    }
    for (const { type, data } of entries) {
      const needsPurpose = type === 'key.publishing' || type === 'key.published';
      if (needsPurpose && typeof data.purpose !== 'string') wrong(world, `${type} has no purpose`);
    }
  }

  /** Once time has run on and nothing failed any more. */
  checkRest(world: World, policy: ClientPolicy): void {
    const { record, audit } = world;
    if (record.rotation !== null) wrong(world, 'a rotation is still under way');
    if (record.retiring.length > 0) wrong(world, 'an old key is still on its way out');
    if (record.inFlight !== null) wrong(world, 'a PATCH is still in flight');
    const signers = desiredDelivery(record);
    for (const sink of world.sinks) {
      const held = sink ?? { current: null, next: null, previous: null };
      if (!sameDelivery(held, signers)) wrong(world, `signers hold ${JSON.stringify(held)}`);
    }
    const left = record.keys.filter((key) => key.state !== 'destroyed' && key.state !== 'active');
    if (left.length > 0) wrong(world, `${left.map((key) => key.kid)} should be destroyed`);
    const document = record.published === null ? null : desiredDocument(record, policy);
    const difference = document === null ? null : readBack(document, world.show());
    if (difference !== null) wrong(world, `the server's document is not the desired one: ${difference}`);
    const active = record.keys.find((key) => key.state === 'active');
    if (active !== undefined && !world.acceptsKid(active.kid)) wrong(world, 'the active key is not accepted');
    if (active === undefined && !this.excuses.compromised) checkForeignSigns(world);
    for (const { rotation } of audit.filter(({ type }) => type === 'rotation.started')) {
      const hasEnd = audit.some(
        (entry) => entry.rotation === rotation && /completed|failed|rolled_back/.test(entry.type),
      );
      if (!hasEnd) wrong(world, `rotation ${rotation} has no end`);
    }
  }
}

export function wrong(world: World, message: string): never {
  throw new Error(`${message}\n${world.trace.slice(-60).join('\n')}`);
}

/** A person is asked only where there is no safe step left. */
export function checkHalt(world: World): void {
  const { halted } = world.record;
  const hasNeed = /differs from what was sent|refused the PATCH|refuses the new key|^format/.test(halted ?? '');
  if (!hasNeed) wrong(world, `halted without need: ${halted}`);
}

function checkActive(world: World, before: ClientRecord): void {
  const active = (record: ClientRecord) => record.keys.filter((key) => key.state === 'active').length;
  const now = active(world.record);
  if (now > 1) wrong(world, 'there are two active keys');
  if (now < active(before)) wrong(world, 'there is no active key any more');
}

function checkPrivateHalves(world: World): void {
  for (const shown of world.effective()) {
    for (const { kid, thumbprint, jwk, pem } of world.made.values()) {
      if (!world.sealed.has(thumbprint) && samePublicKey({ ...jwk, public_key_pem: pem }, shown)) {
        wrong(world, `${kid} is published, and its private half is gone`);
      }
    }
  }
}

/** Once a key of ours is in use, some key that signers hold is accepted at every moment; without a cutover, the current one is. */
function checkLogins(world: World): void {
  const { keys, rotation } = world.record;
  const active = keys.find((key) => key.state === 'active');
  // A served set and the registered alg are two places: they cannot change in one moment.
  const inTwoPlaces = world.source === 'uri' && rotation !== null && active?.alg !== rotation.alg;
  if (active === undefined || inTwoPlaces) return;
  for (const sink of world.sinks) {
    if (!kidsOf(sink).some((kid) => world.acceptsKid(kid))) {
      wrong(world, `nothing that signers hold is accepted: ${JSON.stringify(sink)}`);
    }
    const current = sink?.current ?? null;
    const isCovered = world.mode !== 'first' && rotation?.strategy !== 'cutover';
    if (isCovered && current !== null && !world.acceptsKid(current)) wrong(world, `${current} is not accepted`);
  }
}

function kidsOf(sink: Delivery | null | undefined): readonly string[] {
  return [sink?.current, sink?.next, sink?.previous].filter((kid) => typeof kid === 'string');
}

/** No key of ours ever took over: the one that customers sign with works as before. */
function checkForeignSigns(world: World): void {
  const shown = world.effective().find(({ kid }) => kid === 'foreign-1');
  const alg = shown?.kty === 'RSA' ? 'RS256' : 'ES256';
  const { jwk, pem } = material('foreign-1', alg);
  const isAccepted = shown !== undefined && world.accepts(jwk, pem, alg);
  if (!isAccepted) wrong(world, 'the key that customers sign with is not accepted any more');
}
