/** How everything stands once the dust has settled: store, server and key folder agree on one key, and that key works. */
import type { Emulator } from '../../emulator/server.ts';
import type { ClientEnd, Evidence, StoredRecord } from '../evidence/evidence.ts';
import { KEK } from '../names.ts';
import type { Violation } from './checker.ts';
import { initialOf, openSealed, privateKeyOf, sameMembers, thumbprintOf, thumbprintOfKey } from './keys.ts';
import { mayBeOffered } from './offers.ts';
import { refusalOf, type Signing } from './sign-in.ts';
import { stretchesOf } from './trust.ts';

export async function endsWell({ ends, events }: Evidence, emulator: Emulator): Promise<readonly Violation[]> {
  const judged = ends.map((end) => {
    const violations: Violation[] = [];
    const say = (rule: string, message: string) => void violations.push({ rule, ref: end.client.ref, message });
    const isAlone = stretchesOf(end.client, events).some(({ to }) => to === Number.POSITIVE_INFINITY);
    const judging = isAlone
      ? judgeStranger(end, emulator, say)
      : judgeEnd(end, storyOf(end.client.ref, events), emulator, say);
    return judging.then(() => violations);
  });
  return (await Promise.all(judged)).flat();
}

type Say = (rule: string, message: string) => void;

/** One that nobody entrusted to rekeyd, or that went with a store: as it was. */
async function judgeStranger(end: ClientEnd, emulator: Emulator, say: Say): Promise<void> {
  const { client, record, sealed, server, folder, history } = end;
  if (record !== null) {
    if (record.enrolment === 'enrolled') say('not_entrusted', 'is enrolled, and nobody said so');
    if (record.halted !== null) say('halted', record.halted);
  }
  if (client.enrolment === 'enrolled') return judgeLeftBehind(end, emulator, say);
  const isOffered = mayBeOffered(client);
  for (const { id, state } of history) {
    // An offer that was not taken ends as if it had not been made.
    if (isOffered && state === 'rolled_back') continue;
    say('outcome', `rotation ${id} is ${state}, and none was to begin`);
  }
  const kids = server.keys.map(thumbprintOf);
  const wanted = [initialOf(client), ...client.foreign.map(thumbprintOf)];
  const visitors = client.visitors.map(thumbprintOf);
  if (wanted.some((kid) => !kids.includes(kid)) || kids.some((kid) => ![...wanted, ...visitors].includes(kid)))
    say('not_entrusted', `its keys on the server were changed: ${kids.join(', ')}`);
  const held = record?.enrolment === 'held' ? [initialOf(client)] : [];
  if ([...sealed.keys()].join() !== held.join()) say('leftover', `${[...sealed.keys()].join()} are stored`);
  const wasDelivered = isOffered ? folder?.has('current.jwk.json') : folder !== null;
  if (client.enrolment === 'found' && wasDelivered) say('folder', 'was delivered keys');
  const { privateKey, alg, kid } = client.initial;
  await judgeSignIn(client, { key: privateKey, alg, kid }, 'its own key', emulator, say);
}

/** Its application goes on with the keys in its folder. */
async function judgeLeftBehind({ client, folder }: ClientEnd, emulator: Emulator, say: Say): Promise<void> {
  const answers: string[] = [];
  for (const name of ['current.jwk.json', 'next.jwk.json', 'previous.jwk.json']) {
    const jwk = folder?.get(name);
    if (jwk === undefined) continue;
    const refused = await refusalOf(client, { key: privateKeyOf(jwk), alg: `${jwk.alg}`, kid: `${jwk.kid}` }, emulator);
    if (refused === null) return;
    answers.push(`${name}: ${refused}`);
  }
  say('refused', `the server refuses every key in the key folder: ${answers.join(', ')}`);
}

/** What was done to a client besides what rekeyd did. */
interface Story {
  readonly isEdited: boolean;
  /** A person had a key put back, which ends the rotation that had replaced it. */
  readonly isUndone: boolean;
  /** Private halves of a store that told what was, and had the client found again: they stay. */
  readonly leftBy: readonly string[] | null;
}

function storyOf(ref: string, events: Evidence['events']): Story {
  const has = (kind: Evidence['events'][number]['kind']) =>
    events.some((event) => event.kind === kind && 'ref' in event && event.ref === ref);
  const did = { isEdited: has('edit'), isUndone: has('undone') };
  const declared = events.findLastIndex((event) => event.kind === 'store' && event.what === 'declared');
  const isFoundAgain = (event: Evidence['events'][number]) =>
    event.kind === 'commit' && event.ref === ref && JSON.parse(event.record).enrolment === 'found';
  if (declared === -1 || !events.slice(declared).some(isFoundAgain)) return { ...did, leftBy: null };
  const before = events.slice(0, declared).findLast((event) => event.kind === 'snapshot');
  return { ...did, leftBy: before?.clients[ref]?.sealed ?? [] };
}

async function judgeEnd(
  end: ClientEnd,
  { isEdited, isUndone, leftBy }: Story,
  emulator: Emulator,
  say: Say,
): Promise<void> {
  const { client, record, sealed, open, history } = end;
  const active = record?.keys.filter(({ state }) => state === 'active') ?? [];
  const [only] = active;
  if (record === null || only === undefined || active.length > 1) {
    say('one_active', `${active.length} keys are active`);
    return;
  }
  if (record.halted !== null) say('halted', record.halted);
  if (open && !isBetweenStandbys(end)) say('open', 'is listed as unfinished, and is not');
  for (const { id, state, error } of history) {
    // Somebody who takes a new key away before it is proven has it rolled back; and a person may end a rotation at any time.
    const isAbandoned = error?.startsWith('abandoned') ?? false;
    const isEndedByPeople = (isEdited && (state === 'rolled_back' || isAbandoned)) || (isUndone && isTakenBack(error));
    const isLost = leftBy !== null && state === 'failed';
    const isAllowed = state === client.app.ends || isEndedByPeople || isLost;
    if (!isAllowed) say('outcome', `rotation ${id} is ${state}: ${error}`);
  }
  for (const kid of sealed.keys())
    if (kid !== only.thumbprint && kid !== record.standby?.kid && !leftBy?.includes(kid))
      say('leftover', `the private half of ${kid} is still stored`);
  judgeServer(end, only.thumbprint, say);
  judgeFolder(end, only.thumbprint, say);
  await judgeKey(end, only, emulator, say);
}

/** A standby key goes when it is old, also of a fleet at rest. Its client is unfinished until signers have the next one. */
function isBetweenStandbys({ client, record, folder, open }: ClientEnd): boolean {
  if (!open || client.app.policy.standby !== true) return false;
  return record?.standby?.leaving !== null || folder?.has('next.jwk.json') !== true;
}

function isTakenBack(error: string | null): boolean {
  return error?.startsWith('undone by rotation ') ?? false;
}

function judgeServer({ client, server, served }: ClientEnd, active: string, say: Say): void {
  const kept = client.app.policy.foreign_keys === 'retire' ? [] : client.foreign;
  const published = served ?? server.keys;
  const kids = published.map(thumbprintOf);
  const wanted = [active, ...kept.map(thumbprintOf)];
  for (const kid of wanted) if (!kids.includes(kid)) say('unpublished', `${kid} is not published`);
  const allowed = [...wanted, ...client.visitors.map(thumbprintOf)];
  for (const kid of kids) if (!allowed.includes(kid)) say('forgotten_key', `${kid} is still published`);
  for (const key of kept) {
    const found = published.find((candidate) => thumbprintOf(candidate) === thumbprintOf(key));
    if (found !== undefined && !sameMembers(found, key))
      say('foreign_key', `a foreign key was changed: ${JSON.stringify(found)}`);
  }
}

function judgeFolder(end: ClientEnd, active: string, say: Say): void {
  const { folder, record } = end;
  const current = folder?.get('current.jwk.json');
  const kid = current === undefined ? 'nothing' : thumbprintOfKey(privateKeyOf(current));
  if (kid !== active) say('folder', `signers sign with ${kid}, and ${active} is active`);
  const next = folder?.get('next.jwk.json');
  const kept = record?.standby?.kid ?? null;
  const held = next === undefined ? null : thumbprintOfKey(privateKeyOf(next));
  const isLate = held === null && isBetweenStandbys(end);
  if (held !== kept && !isLate) say('folder', `next.jwk.json is ${held}, and ${kept} is kept ready`);
  if (folder?.has('previous.jwk.json')) say('folder', 'previous.jwk.json is still there');
}

async function judgeKey(
  { client, sealed }: ClientEnd,
  { kid, thumbprint, alg }: StoredRecord['keys'][number],
  emulator: Emulator,
  say: Say,
): Promise<void> {
  const jwe = sealed.get(thumbprint);
  if (jwe === undefined) return say('lost_key', `the private half of the active key ${thumbprint} is not in the store`);
  const key = await openSealed(jwe, KEK).catch((error: unknown) => {
    say('lost_key', `the private half of the active key ${thumbprint} does not open: ${String(error)}`);
  });
  if (!key) return;
  if (thumbprintOfKey(key) !== thumbprint) return say('lost_key', `another key is sealed as ${thumbprint}`);
  await judgeSignIn(client, { key, alg, kid }, `the active key ${thumbprint}`, emulator, say);
}

async function judgeSignIn(
  client: ClientEnd['client'],
  signing: Signing,
  what: string,
  emulator: Emulator,
  say: Say,
): Promise<void> {
  const refused = await refusalOf(client, signing, emulator);
  if (refused !== null) say('refused', `the server refuses ${what}: ${refused}`);
}
