/** When a decision about drift ({@link ./settling.ts}) makes no sense, and what it would take away. */
import { RekeydError } from '../errors.ts';
import { desiredDocument, foreignKeys, isSameKey } from './desired.ts';
import type { KeyDocument, PublishedKey } from './document.ts';
import { type Drift, kindsOf } from './drift.ts';
import { takesSeveral } from './findings.ts';
import { activeKey, holds } from './keys.ts';
import { argumentOf, nameOf } from './naming-foreign.ts';
import type { ClientPolicy } from './policy.ts';
import type { ClientRecord } from './record.ts';
import { CONFLICTS_BORNE } from './server.ts';

/** The active key on the server is ours: as far as one can tell from what it shows. */
export function showsOurs(record: ClientRecord, policy: ClientPolicy): boolean {
  const active = activeKey(record);
  const { client } = record.server.observed;
  if (active === undefined) return true;
  const isAtOurAddress = client.jwksUri !== null && client.jwksUri === policy.jwksUri;
  if (record.server.format === 'jwks_uri')
    return client.jwksUri === null ? false : isAtOurAddress || isUnchanged(record);
  if (client.alg !== null && client.alg !== active.alg && client.alg !== record.drift?.from.alg) return false;
  if (client.jwksUri !== null && !isAtOurAddress) return isUnchanged(record) && isShown(record);
  return takesAll(policy) ? isShown(record) : isFirst(record);
}

function isUnchanged({ drift, server }: ClientRecord): boolean {
  return drift === undefined || drift.from.jwksUri === server.observed.client.jwksUri;
}

function isShown(record: ClientRecord): boolean {
  const id = activeKey(record)?.id ?? '';
  return record.server.observed.client.keys.some((shown) => isKey(shown, id));
}

/** What stood first before is no news: an imported key may be one of several. */
function isFirst(record: ClientRecord): boolean {
  const [[first], [before]] = [record.server.observed.client.keys, record.drift?.from.keys ?? []];
  if (first === undefined) return false;
  if (isKey(first, activeKey(record)?.id ?? '')) return true;
  return before !== undefined && isSameKey(first, before) && isShown(record);
}

/** Servers that know `public_key_pem` verify with that member alone. */
function isKey(shown: PublishedKey, id: string): boolean {
  return holds(shown, id) && (shown.pemId === null || shown.pemId === id);
}

function takesAll({ facts, embedPem }: ClientPolicy): boolean {
  return takesSeveral(facts, { format: 'jwks', embedPem });
}

/** @throws RekeydError where our document would take a foreign key away, or its place as the key that a server takes */
export function refuseLosses(next: ClientRecord, policy: ClientPolicy): void {
  if (policy.foreignKeys === 'retire') return;
  const lost = lostKeys(next, policy);
  if (lost.length === 0) return;
  throw refusal(
    `${next.ref}: with our document the server would not take the foreign key ${lost.map(nameOf).join(', ')} any more, and an application may sign with it. Nothing was changed. If none does: ${lost.map((key) => `--drop-foreign=${argumentOf(key)}`).join(' ')}. If it is the right key: \`rekeyd drift accept ${next.ref}\`.`,
  );
}

/** Foreign keys that the server would not take any more once our document is there. A server that takes one key takes the first. */
export function lostKeys(record: ClientRecord, policy: ClientPolicy): readonly PublishedKey[] {
  const foreign = foreignKeys(record);
  const document = desiredDocument(record, policy);
  if (document === null) return [];
  if (takesAll(policy)) return foreign.filter((key) => !stays(document, key));
  const [first] = record.server.observed.client.keys;
  return foreign.filter((key) => !stays(document, key) || (key === first && !isFirstIn(document, key)));
}

function stays(document: KeyDocument, key: PublishedKey): boolean {
  return document.format === 'jwks' && document.keys.includes(key);
}

function isFirstIn(document: KeyDocument, key: PublishedKey): boolean {
  return document.format === 'jwks' && document.keys[0] === key;
}

export function refuseForeignAddress({ ref, server }: ClientRecord, { jwksUri }: ClientPolicy): void {
  if (server.format !== 'jwks_uri' || jwksUri !== null) return;
  throw refusal(
    `${ref} publishes its keys at an address of its own, where rekeyd cannot put any. Put the address back by hand.`,
  );
}

export function nothingOfOurs(ref: string, drift: Drift | undefined, added: readonly PublishedKey[]): RekeydError {
  const kinds = kindsOf(drift);
  if (added.length > 0) {
    return refusal(
      `${ref}: nothing of ours is missing; the foreign key ${added.map(nameOf).join(', ')} was added, and an application may sign with it. Nothing was changed. \`rekeyd drift accept ${ref}\` keeps it; ${added.map((key) => `--drop-foreign=${argumentOf(key)}`).join(' ')} takes it away.`,
    );
  }
  const what = kinds.includes('registration')
    ? 'how a client authenticates is not for rekeyd to change. Change it at the server'
    : 'what was changed is not ours to put back: it is a foreign key. Publish it by hand';
  return refusal(`${ref}: nothing of ours is missing, and ${what}; or \`rekeyd drift accept ${ref}\`.`);
}

/** @throws RekeydError `under_way` */
export function refuseWhileUnsure({ ref, doubted, halted, server }: ClientRecord): void {
  if (doubted) {
    throw underWay(
      `${ref}: the store was restored, and nobody has looked at the server since. Ask again when a worker has (\`rekeyd start\`).`,
    );
  }
  if (halted !== null && server.conflicts < CONFLICTS_BORNE) {
    throw underWay(
      `${ref} is halted, and not because of drift: ${halted}. Mend that and go on with \`rekeyd rotate ${ref}\`; then decide about drift.`,
    );
  }
}

/** @throws RekeydError `under_way` */
export function refuseWhileChanging(record: ClientRecord, done: 'accepted' | 'repaired' = 'accepted'): void {
  const { ref, rotation, retirements, server } = record;
  if (rotation !== null) {
    throw underWay(
      `${ref}: rotation ${rotation.id} is under way (${rotation.phase.name}), and looks at the server before each of its PATCHes: nothing was ${done}. Ask again when it has ended (\`rekeyd status ${ref}\`), or end it with \`rekeyd abandon ${ref}\`.`,
    );
  }
  if (done === 'repaired') return;
  if (server.inFlight !== null) {
    throw underWay(
      `${ref}: a PATCH of ours may still arrive, so what the server shows may not last: nothing was accepted. Ask again at ${new Date(server.inFlight.deadline).toISOString()}.`,
    );
  }
  if (retirements.length > 0) {
    throw underWay(
      `${ref}: an old key is on its way out, and the PATCH that takes it away would put our document back: nothing was accepted. Ask again when it is gone (\`rekeyd status ${ref}\`).`,
    );
  }
}

export function refusal(message: string): RekeydError {
  return new RekeydError('not_eligible', message);
}

function underWay(message: string): RekeydError {
  return new RekeydError('under_way', message);
}
