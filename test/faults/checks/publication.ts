/** Every PATCH as it arrived, against what the store held at that moment. */
import type { LogEntry } from '../../emulator/log.ts';
import type { Evidence, StoredRecord } from '../evidence/evidence.ts';
import type { CommitEvent, Event } from '../evidence/history.ts';
import type { FaultClient } from '../stage/fleet.ts';
import type { Check, Violation } from './checker.ts';
import { SAME_MS } from './clocks.ts';
import { bodyOf, carriesKeys, initialOf, keysIn, othersOf, sameMembers, thumbprintOf, thumbprintsIn } from './keys.ts';

/** How much later than its deadline a PATCH may come in: from the worker's last look at the clock to its arrival, on a busy machine. */
const LATE_MS = 5_000;

/** One client as the store held it, and what was sent for it. */
interface Standing {
  readonly sealed: Set<string>;
  record: StoredRecord | null;
  readonly intents: { readonly body: string; readonly deadline: number; isDurable: boolean }[];
  /** Whether it shows what is on disk: a server that is told to write everything there before it answers is not asked. */
  showsDisk: boolean;
  /** The store is not the workers' own. */
  isLost: boolean;
  /** Its key goes back to its owner: the private half leaves the store, and the key stays published. */
  isReleased: boolean;
  /** Keys whose private halves are gone with a lost store, after a person declared that loss. Nobody manages them now. */
  readonly orphans: Set<string>;
  /** Keys that logins with it were accepted for, by thumbprint. */
  readonly proven: Set<string>;
  /** What the server holds of ours, by thumbprint. */
  published: readonly string[];
  /** Ours that a PATCH has carried, until they are erased: their private halves were on disk before. */
  readonly sent: Set<string>;
  /** What the set that we serve ourselves holds, by the version of the commit that announced it: the last one counts. */
  served: readonly { readonly version: number; readonly kids: readonly string[] }[];
  /** As they arrived. */
  readonly patches: { readonly at: number; readonly body: string }[];
  /** Rotation → the key that it published first. */
  brought: Map<string, string>;
}

export const publishesSafely: Check = (evidence) =>
  evidence.ends.flatMap(({ client }) => judgeClient(client, evidence));

type Moment = { readonly at: number } & (
  | { readonly event: Event }
  | { readonly request: LogEntry }
  | { readonly done: LogEntry }
);

const OF_ALL: readonly Event['kind'][] = ['snapshot', 'durable', 'store'];

function judgeClient(client: FaultClient, { events, requests }: Evidence): readonly Violation[] {
  const standing: Standing = {
    sealed: new Set(),
    record: null,
    intents: [],
    showsDisk: false,
    isLost: false,
    isReleased: false,
    orphans: new Set(),
    proven: new Set(),
    published: client.enrolment === 'found' ? [] : [initialOf(client)],
    sent: new Set(),
    served: [],
    patches: [],
    brought: new Map(),
  };
  const violations: Violation[] = [];
  const say = (rule: string, message: string) => violations.push({ rule, ref: client.ref, message });
  const ours = events.flatMap((event): Moment[] => {
    const isOurs = OF_ALL.includes(event.kind) || ('ref' in event && event.ref === client.ref);
    return isOurs ? [{ at: event.at, event }] : [];
  });
  const calls = requests
    .filter((request) => request.client === client.id)
    .flatMap((request): Moment[] => [
      { at: request.at + SAME_MS, request },
      ...(request.doneAt === undefined ? [] : [{ at: request.doneAt + SAME_MS, done: request }]),
    ]);
  for (const moment of [...ours, ...calls].sort((a, b) => a.at - b.at)) {
    if ('done' in moment) judgeDone(moment.done, client, standing, say);
    else if ('request' in moment) judgeRequest(moment.request, client, standing, say);
    else takeIn(moment.event, client, standing, say);
  }
  return violations;
}

type Say = (rule: string, message: string) => void;

function takeIn(event: Event, client: FaultClient, standing: Standing, say: Say): void {
  const { sealed } = standing;
  switch (event.kind) {
    case 'sealed':
      sealed.add(event.kid);
      standing.orphans.delete(event.kid);
      return;
    case 'erased':
      sealed.delete(event.kid);
      standing.sent.delete(event.kid);
      if (standing.isReleased) standing.orphans.add(event.kid);
      else if ([...standing.published, ...servedIn(standing)].includes(event.kid))
        say('lost_key', `${event.kid} was erased while it was published`);
      return;
    case 'durable':
      standing.showsDisk = true;
      for (const intent of standing.intents) intent.isDurable = true;
      return;
    case 'released':
      standing.isReleased = true;
      return;
    case 'store':
      takeInStore(event, standing);
      return;
    case 'snapshot': {
      const found = event.clients[client.ref];
      sealed.clear();
      for (const kid of found?.sealed ?? []) sealed.add(kid);
      standing.record = JSON.parse(found?.record ?? 'null');
      if (!standing.isLost) judgeReturn(Number(found?.version ?? 0), client, standing, say);
      return;
    }
    case 'commit':
      takeInCommit(event, client, standing, say);
      return;
    default:
      return;
  }
}

function takeInStore({ what, how }: Extract<Event, { kind: 'store' }>, standing: Standing): void {
  // That a rotation had a key is forgotten with the store: it makes another one.
  if (what === 'declared')
    standing.brought = new Map([...standing.brought.values()].map((kid) => [`lost ${kid}`, kid]));
  const { sealed, orphans, published, sent } = standing;
  standing.isLost = what === 'lost';
  if (what === 'lost' && how === 'emptied') {
    sealed.clear();
    standing.record = null;
  }
  if (what !== 'declared') return;
  for (const kid of [...published, ...sent, ...servedIn(standing)]) if (!sealed.has(kid)) orphans.add(kid);
  // The store that goes on counts versions of its own.
  standing.served = standing.served.slice(-1).map(({ kids }) => ({ version: 0, kids }));
}

function servedIn({ served }: Standing): readonly string[] {
  return served.at(-1)?.kids ?? [];
}

/** @param version of the record that is there: what was announced after it was not on disk, so the set was not written yet */
function judgeReturn(version: number, client: FaultClient, standing: Standing, say: Say): void {
  standing.served = standing.served.filter((announced) => announced.version <= version);
  const { published, sent, sealed, orphans } = standing;
  // What happened while nobody read along is in the record: it tells which keys it has destroyed.
  for (const { kid } of standing.record?.former ?? [])
    sent.delete(kid === client.initial.kid ? initialOf(client) : kid);
  for (const kid of new Set([...published, ...sent, ...servedIn(standing)])) {
    if (!sealed.has(kid) && !orphans.has(kid))
      say('lost_key', `${kid} was published, and Redis came back without its private half`);
  }
}

function takeInCommit(event: CommitEvent, client: FaultClient, standing: Standing, say: Say): void {
  const before = standing.record;
  const record: StoredRecord = JSON.parse(event.record);
  standing.record = record;
  const { inFlight } = record.server;
  if (inFlight !== null)
    standing.intents.push({
      body: JSON.stringify(bodyOf(inFlight.document)),
      deadline: inFlight.deadline,
      isDurable: false,
    });
  judgeServed(event, client, standing, say);
  if (before !== null && client.app.policy.prove !== 'read_back') judgeActivation(before, record, event, standing, say);
}

/** A set under `jwks_uri` is in no PATCH: what is announced for it is what will stand there. */
function judgeServed({ drafts, version }: CommitEvent, client: FaultClient, standing: Standing, say: Say): void {
  for (const draft of drafts) {
    const { type, data } = JSON.parse(draft);
    if (type !== 'key.publishing' || data.served !== true) continue;
    const named: readonly string[] = data.kids;
    const kids = named.map((kid) => (kid === client.initial.kid ? initialOf(client) : kid));
    standing.served = [...standing.served, { version: Number(version), kids }];
    for (const kid of kids) {
      if (!standing.sealed.has(kid)) say('lost_key', `${kid} is served and its private half was not in the store`);
    }
  }
}

function judgeActivation(
  before: StoredRecord,
  after: StoredRecord,
  { drafts }: CommitEvent,
  { proven }: Standing,
  say: Say,
): void {
  // Judged by `importsAreProven`.
  const imported = drafts
    .map((draft) => JSON.parse(draft))
    .filter(({ type }) => type === 'key.imported')
    .map(({ data }) => data.kid);
  for (const { kid, thumbprint, state } of after.keys) {
    const was = before.keys.find((key) => key.thumbprint === thumbprint)?.state;
    if (state !== 'active' || was === 'active' || imported.includes(kid)) continue;
    if (!proven.has(thumbprint)) say('unproven', `${thumbprint} became active before a login with it was accepted`);
  }
}

/** A PATCH counts when it is carried out, which may be long after it came. */
function judgeDone(call: LogEntry, client: FaultClient, standing: Standing, say: Say): void {
  const { body, at, doneAt = at, authenticatedKid } = call;
  if (authenticatedKid !== undefined) standing.proven.add(authenticatedKid);
  if (!carriesKeys(call)) return;
  standing.published = oursIn(body, client, standing);
  const text = JSON.stringify(body);
  const later = standing.patches.find((patch) => patch.at > at && patch.at < doneAt && patch.body !== text);
  // A server that holds a PATCH back for longer than its deadline is beyond what anybody can wait for.
  const deadline = Math.max(...standing.intents.flatMap((intent) => (intent.body === text ? [intent.deadline] : [])));
  if (doneAt >= deadline) return;
  if (!standing.isLost) {
    for (const kid of standing.published) {
      if (!standing.sealed.has(kid))
        say('lost_key', `${kid} was erased before a PATCH that publishes it was carried out`);
    }
  }
  if (later !== undefined)
    say(
      'overtaken',
      `a PATCH undid one that was sent ${Math.round(doneAt - later.at)} ms before, while it could still arrive`,
    );
}

function oursIn(body: unknown, client: FaultClient, { orphans }: Standing): readonly string[] {
  const others = othersOf(client);
  return thumbprintsIn(body).filter((kid) => !others.includes(kid) && !orphans.has(kid));
}

function judgeRequest(request: LogEntry, client: FaultClient, standing: Standing, say: Say): void {
  if (!carriesKeys(request)) return;
  const { body, at } = request;
  const text = JSON.stringify(body);
  standing.patches.push({ at, body: text });
  const intended = standing.intents.filter((intent) => intent.body === text);
  if (intended.length === 0) say('other_bytes', `a PATCH that no intent holds: ${text.slice(0, 300)}`);
  else if (intended.every(({ deadline }) => deadline + LATE_MS < at))
    say('late_patch', 'a PATCH came after its deadline');
  else if (standing.showsDisk && intended.every(({ isDurable }) => !isDurable))
    say('not_durable', 'a PATCH came before its intent was on disk');
  const mine = oursIn(body, client, standing);
  for (const kid of mine) standing.sent.add(kid);
  // What was on its way when the store was lost was in the store before that.
  if (!standing.isLost) {
    for (const kid of mine) {
      if (!standing.sealed.has(kid)) say('lost_key', `${kid} was published and its private half was not in the store`);
    }
  }
  judgeForeign(body, client, say);
  judgeNewKey(mine, standing, client, say);
  const active = activeIn(standing.record);
  const isSet = mine.length > 0 && client.app.logins === 'one';
  // Also where it counts as a visitor, since the store that knew it was lost later.
  if (isSet && active !== undefined && !thumbprintsIn(body).includes(active))
    say('withdrawn', `a PATCH without the active key ${active}`);
}

/** As they came, with all of their members. */
function judgeForeign(body: unknown, client: FaultClient, say: Say): void {
  if (client.app.policy.foreign_keys === 'retire' || thumbprintsIn(body).length === 0) return;
  const sent = keysIn(body);
  for (const key of client.foreign) {
    const kid = thumbprintOf(key);
    const found = sent.find((candidate) => thumbprintOf(candidate) === kid);
    if (found === undefined) say('foreign_key', `a PATCH without the foreign key ${kid}`);
    else if (!sameMembers(found, key)) say('foreign_key', `a PATCH that changes the foreign key ${kid}`);
  }
}

/** A rotation brings in one key, however often it is tried; after a compromise, perhaps another one in its place. */
function judgeNewKey(mine: readonly string[], { record, brought }: Standing, client: FaultClient, say: Say): void {
  const { rotation = null } = record ?? {};
  if (rotation === null) return;
  const known = [initialOf(client), ...brought.values()];
  for (const kid of mine) {
    if (known.includes(kid)) continue;
    const first = brought.get(rotation.id);
    if (rotation.compromised !== null) brought.set(`${rotation.id} ${kid}`, kid);
    else if (first !== undefined) say('second_key', `rotation ${rotation.id} published ${kid} after ${first}`);
    else brought.set(rotation.id, kid);
  }
}

function activeIn(record: StoredRecord | null): string | undefined {
  return record?.keys.find(({ state }) => state === 'active')?.thumbprint;
}
