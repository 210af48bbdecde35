/** What rekeyd promises, as checks of a simulated world: some hold at every moment, some once nothing is left to do. */
import { desiredDocument } from '../../src/core/desired.ts';
import { activeKey, holds, usesReportedKey } from '../../src/core/keys.ts';
import type { ClientPolicy } from '../../src/core/policy.ts';
import { publication } from '../../src/core/publication.ts';
import { readBack } from '../../src/core/readback.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import { type Delivery, desiredDelivery, sameDelivery } from '../../src/core/signers.ts';
import { entryOf, idOf } from './support.ts';
import type { World } from './world.ts';

/** What was asked for that no promise covers. */
export interface Excuses {
  /** Nobody asked for this client, whose application does not take its key from us: it is left alone. */
  untouchable: boolean;
  /** False: the application of a found client signs with its own key, beside which ours is offered at most. */
  mayReplace: boolean;
  /** A compromise cuts keys off on purpose. */
  compromised: boolean;
  /** A person ended a rotation: signers are told of it afterwards, and sign with their other key until then. */
  abandoned: boolean;
  /** `foreign_keys: retire`, a compromise, or a PEM in place of a client's only key take foreign keys away. */
  foreignMayGo: boolean;
  /** Foreign keys that were published, and must stay. */
  readonly foreign: string[];
  /** Foreign keys that somebody took away by hand, and meant it. */
  readonly taken: string[];
  /** Ids of former keys that somebody put back by hand. */
  readonly putBack: Set<string>;
  /** What was reported: the ids of the keys, and the rotation that takes them away; null where they are on their way out already. */
  readonly reported: { readonly ids: readonly string[]; readonly rotation: string | null }[];
}

export class Promises {
  readonly excuses: Excuses = {
    untouchable: false,
    mayReplace: true,
    compromised: false,
    abandoned: false,
    foreignMayGo: false,
    foreign: ['foreign-1'],
    taken: [],
    putBack: new Set(),
    reported: [],
  };
  /** Foreign keys that the server took at some time, and those of them that it no longer took when all was done. */
  readonly #taken = new Set<string>();
  readonly #gone = new Set<string>();
  #before: ClientRecord;
  #auditSeen = 0;

  constructor(record: ClientRecord) {
    this.#before = record;
  }

  /** After every single effect and commit. */
  check(world: World, what: string, policy: ClientPolicy): void {
    const { record } = world;
    const { excuses } = this;
    checkActive(world, this.#before);
    checkPrivateHalves(world, excuses);
    checkEnds(world, this.#before);
    for (const sink of world.sinks) {
      const current = sink?.current ?? null;
      if (current !== null && !world.proven.has(current)) wrong(world, `${current} signs without a proof`);
    }
    if (excuses.untouchable && world.sent.size > 0) wrong(world, 'a client was changed that is to be left alone');
    const active = activeKey(record)?.kid ?? null;
    if (record.rotation === null && world.sinks.every((sink) => (sink?.current ?? null) === active)) {
      excuses.abandoned = false;
    }
    if (!excuses.compromised) checkLogins(world, excuses);
    if (!excuses.foreignMayGo) this.#checkForeign(world);
    if (!excuses.mayReplace) checkTheirs(world, excuses);
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

  /** Whatever took a foreign key away, no later rotation brings it back. */
  #checkGone(world: World, policy: ClientPolicy): void {
    const { rotation, retirements, server } = world.record;
    const { putBack } = this.excuses;
    const isTheirs = (kid: string) => kid.startsWith('foreign') && !putBack.has(idOf(kid));
    const taken = new Set(
      world
        .effective()
        .map(({ kid }) => `${kid}`)
        .filter(isTheirs),
    );
    for (const kid of taken) {
      if (this.#gone.has(kid)) wrong(world, `${kid} was taken away, and is back`);
      this.#taken.add(kid);
    }
    const isBusy = rotation !== null || retirements.length > 0 || server.inFlight !== null;
    if (isBusy || publication(world.record, policy) !== null) return;
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
    const changed = stateChanges(this.#before, world.record);
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
    const { record } = world;
    if (record.rotation !== null && record.rotation.phase.name !== 'offered')
      wrong(world, 'a rotation is still under way');
    if (record.retirements.length > 0) wrong(world, 'an old key is still on its way out');
    if (record.server.inFlight !== null) wrong(world, 'a PATCH is still in flight');
    const signers = desiredDelivery(record);
    for (const sink of world.sinks) {
      const held = sink ?? { current: null, next: null, previous: null };
      if (!sameDelivery(held, signers)) wrong(world, `signers hold ${JSON.stringify(held)}`);
    }
    const kept = record.standby?.leaving === null ? record.standby.kid : null;
    const left = record.keys.filter((key) => key.state !== 'active' && key.kid !== kept);
    if (left.length > 0) wrong(world, `${left.map((key) => key.kid)} should be destroyed`);
    const active = activeKey(record);
    // Where no key of ours is in use, what was put back or reported is not ours to take away.
    const isUndisturbed = this.excuses.putBack.size === 0 && !this.excuses.compromised;
    const isOurs = record.server.confirmedAt !== null && (active !== undefined || isUndisturbed);
    const document = isOurs ? desiredDocument(record, policy) : null;
    const difference = document === null ? null : readBack(document, world.show());
    if (difference !== null) wrong(world, `the server's document is not the desired one: ${difference}`);
    if (active !== undefined && !world.acceptsKid(active.kid)) wrong(world, 'the active key is not accepted');
    if (active === undefined && !this.excuses.compromised) checkForeignSigns(world);
    this.#checkReported(world);
    checkRotationEnds(world);
    this.#checkRemembered(world);
  }

  /** A reported key that is still in use, because its rotation was given up, is told of. */
  #checkRemembered(world: World): void {
    const { record, history } = world;
    const { reported } = this.excuses;
    const active = activeKey(record);
    const isReported = reported.some(({ ids, rotation }) => {
      const isGivenUp = history.some(({ id, state }) => id === rotation && state !== 'finished');
      return isGivenUp && active !== undefined && ids.includes(active.id);
    });
    if (isReported && !usesReportedKey(record))
      throw new Error('a reported key is in use, and the record does not say so');
  }

  /** A key that was reported is not on the server, under whatever name, also where somebody put it back. */
  #checkReported(world: World): void {
    const hasKey = activeKey(world.record) !== undefined && world.record.server.confirmedAt !== null;
    const shown = world.effective().flatMap((jwk) => entryOf(jwk).ids);
    for (const { ids, rotation } of this.excuses.reported) {
      const isReplaced = world.history.some(({ id, state }) => id === rotation && state === 'finished');
      const isDone = rotation === null ? hasKey : isReplaced;
      const back = ids.find((id) => isDone && shown.includes(id));
      if (back !== undefined) wrong(world, `${back} was reported as compromised, and is on the server`);
    }
    const back = [...this.excuses.putBack].find((id) => hasKey && shown.includes(id));
    if (back !== undefined) wrong(world, `${back} was put back, and is still on the server`);
  }
}

export function wrong(world: World, message: string): never {
  const { trace } = world;
  const told = trace.length <= 90 ? trace : [...trace.slice(0, 60), '…', ...trace.slice(-30)];
  throw new Error(`${message}\n${told.join('\n')}`);
}

/** A person is asked only where there is no safe step left. */
export function checkHalt(world: World): void {
  const { halted } = world.record;
  const hasNeed =
    /differs from what was sent|refused the PATCH|refuses the new key|^format|not active|Set prove: required/.test(
      halted ?? '',
    );
  if (!hasNeed) wrong(world, `halted without need: ${halted}`);
}

function checkActive(world: World, before: ClientRecord): void {
  const active = (record: ClientRecord) => record.keys.filter((key) => key.state === 'active').length;
  const now = active(world.record);
  if (now > 1) wrong(world, 'there are two active keys');
  if (now < active(before)) wrong(world, 'there is no active key any more');
}

function checkPrivateHalves(world: World, { putBack }: Excuses): void {
  for (const shown of world.effective().map(entryOf)) {
    for (const { kid, id, thumbprint } of world.made.values()) {
      if (!world.sealed.has(thumbprint) && holds(shown, id) && !putBack.has(id)) {
        wrong(world, `${kid} is published, and its private half is gone`);
      }
    }
  }
}

/** Whatever was published ends by a proof: only a key that was never sent is destroyed without one. */
function checkEnds(world: World, before: ClientRecord): void {
  const left = before.keys.filter(({ id }) => !world.record.keys.some((key) => key.id === id));
  for (const { kid, id } of left) {
    if (world.sent.has(id) && !world.refused.has(id)) wrong(world, `${kid} was sent, and is destroyed without a proof`);
  }
}

function stateChanges(before: ClientRecord, after: ClientRecord): string[] {
  const states = ({ keys }: ClientRecord) => new Map<string, string>(keys.map(({ kid, state }) => [kid, state]));
  const [was, is] = [states(before), states(after)];
  return [...new Set([...was.keys(), ...is.keys()])].flatMap((kid) => {
    const [from, to] = [was.get(kid) ?? null, is.get(kid) ?? 'destroyed'];
    return from === to ? [] : [`${kid}: ${from} -> ${to}`];
  });
}

function checkRotationEnds(world: World): void {
  const { audit } = world;
  for (const { rotation } of audit.filter(({ type }) => type === 'rotation.started')) {
    const hasEnd = audit.some(
      (entry) => entry.rotation === rotation && /completed|failed|rolled_back/.test(entry.type),
    );
    if (!hasEnd) wrong(world, `rotation ${rotation} has no end`);
  }
}

/** Once a key of ours is in use, some key that signers hold is accepted at every moment; without a cutover, the current one is. */
function checkLogins(world: World, { abandoned }: Excuses): void {
  const { rotation } = world.record;
  const active = activeKey(world.record);
  // A served set and the registered alg are two places: they cannot change in one moment.
  const inTwoPlaces = world.source === 'uri' && rotation !== null && active?.alg !== rotation.alg;
  if (active === undefined || inTwoPlaces) return;
  for (const sink of world.sinks) {
    if (!kidsOf(sink).some((kid) => world.acceptsKid(kid))) {
      wrong(world, `nothing that signers hold is accepted: ${JSON.stringify(sink)}`);
    }
    const current = sink?.current ?? null;
    const isCovered = world.mode !== 'first' && rotation?.strategy !== 'cutover' && !abandoned;
    if (isCovered && current !== null && !world.acceptsKid(current)) wrong(world, `${current} is not accepted`);
  }
}

function kidsOf(sink: Delivery | null | undefined): readonly string[] {
  return [sink?.current, sink?.next, sink?.previous].filter((kid) => typeof kid === 'string');
}

/** Whatever the policy says of foreign keys: while ours is only offered, all of theirs are published, in front of it, and sign in. */
function checkTheirs(world: World, { foreign }: Excuses): void {
  const shown = world.effective().map(({ kid }) => `${kid}`);
  const [first = ''] = shown;
  const missing = foreign.filter((kid) => !shown.includes(kid));
  if (missing.length > 0) wrong(world, `${missing} is missing while ours is only offered`);
  if (!first.startsWith('foreign')) wrong(world, `${first} comes before the foreign keys`);
  checkForeignSigns(world);
}

/** No key of ours ever took over: the one that customers sign with works as before. */
function checkForeignSigns(world: World): void {
  const shown = world.effective().find(({ kid }) => kid === 'foreign-1');
  const alg = shown?.kty === 'RSA' ? 'RS256' : 'ES256';
  const isAccepted = shown !== undefined && world.accepts({ id: idOf('foreign-1'), alg }, 'foreign-1');
  if (!isAccepted) wrong(world, 'the key that customers sign with is not accepted any more');
}
