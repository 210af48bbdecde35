/**
 * Standby keys. None is published before a rotation has taken it, by a PATCH or in a set that we serve, and none that was given up. One that signers held beside
 * a key that was then reported is never published, unless the report says otherwise; then the rotation takes it, makes no other key, and sends one document.
 */
import type { Evidence, StoredRecord } from '../evidence/evidence.ts';
import type { Event } from '../evidence/history.ts';
import type { FaultClient } from '../stage/fleet.ts';
import type { Check, Violation } from './checker.ts';
import { initialOf, thumbprintsIn } from './keys.ts';
import { momentsOf } from './moments.ts';

/** The rotation of a reported key that has a standby key to use. */
interface Using {
  readonly rotation: string;
  readonly kid: string;
  readonly documents: Set<string>;
}

interface Standing {
  record: StoredRecord | null;
  /** Standby keys that signers may have held when a key was reported. */
  readonly exposed: Set<string>;
  /** Standby keys that are handed back, to be destroyed. */
  readonly givenUp: Set<string>;
  using: Using | null;
}

type Say = (rule: string, message: string) => void;

export const standbysAreKept: Check = (evidence) => {
  // What is in the air when a store is lost was begun for a record that nobody has any more.
  const until = evidence.events.find(({ kind }) => kind === 'store')?.at ?? Number.POSITIVE_INFINITY;
  return evidence.ends.flatMap(({ client }) =>
    client.app.policy.standby === true ? judgeClient(client, evidence, until) : [],
  );
};

function judgeClient(client: FaultClient, evidence: Evidence, until: number): readonly Violation[] {
  const violations = new Map<string, Violation>();
  const say: Say = (rule, message) => violations.set(`${rule} ${message}`, { rule, ref: client.ref, message });
  const standing: Standing = { record: null, exposed: new Set(), givenUp: new Set(), using: null };
  for (const moment of momentsOf(client, evidence)) {
    if (moment.at >= until) break;
    if ('request' in moment) judgePatch(moment.request.body, standing, say);
    else takeIn(moment.event, client, standing, say);
  }
  return [...violations.values()];
}

function judgePatch(body: unknown, standing: Standing, say: Say): void {
  judgeKeys(thumbprintsIn(body), standing, say);
  const { record, using } = standing;
  if (using === null || record?.rotation?.id !== using.rotation) return;
  using.documents.add(JSON.stringify(body));
  if (using.documents.size > 1)
    say('standby_patches', `rotation ${using.rotation} had ${using.kid}, and sent several documents`);
}

function judgeKeys(keys: readonly string[], { record, exposed, givenUp }: Standing, say: Say): void {
  const standby = record?.standby?.kid ?? null;
  if (standby !== null && keys.includes(standby))
    say('standby_published', `${standby} was published, and only kept ready`);
  for (const kid of exposed) {
    if (keys.includes(kid))
      say('standby_exposed', `${kid} was published, and signers had held it beside a reported key`);
  }
  for (const kid of givenUp) if (keys.includes(kid)) say('standby_given_up', `${kid} was given up, and then published`);
}

function takeIn(event: Event, client: FaultClient, standing: Standing, say: Say): void {
  if (event.kind === 'snapshot') {
    standing.record = JSON.parse(event.clients[client.ref]?.record ?? 'null');
    // That a key was given up may be forgotten.
    standing.givenUp.clear();
    noteGivenUp(standing);
  }
  // Somebody's edit is put right with a document of its own.
  if (event.kind === 'edit' && event.ref === client.ref) standing.using = null;
  if (event.kind !== 'commit' || event.ref !== client.ref) return;
  const before = standing.record;
  const after: StoredRecord = JSON.parse(event.record);
  standing.record = after;
  noteGivenUp(standing);
  // A set under `jwks_uri` is in no PATCH.
  for (const { type, data } of event.drafts.map((draft) => JSON.parse(draft)))
    if (type === 'key.publishing' && data.served === true) judgeKeys(data.kids, standing, say);
  if (isNewlyReported(before, after)) standing.using = reported(before, after, client, standing);
  judgeChoice(after, standing, say);
}

function noteGivenUp({ record, givenUp }: Standing): void {
  const { kid = null, leaving = null } = record?.standby ?? {};
  if (kid !== null && leaving !== null) givenUp.add(kid);
}

/** The rotation under way became one after a compromise, or began as one. */
function isNewlyReported(before: StoredRecord | null, { rotation }: StoredRecord): boolean {
  if (rotation === null || rotation.compromised === null) return false;
  return before?.rotation?.id !== rotation.id || before.rotation.compromised === null;
}

function reported(
  before: StoredRecord | null,
  { rotation }: StoredRecord,
  client: FaultClient,
  { exposed }: Standing,
): Using | null {
  const { kid = null, leaving = null } = before?.standby ?? {};
  if (before === null || rotation === null || kid === null) return null;
  if (rotation.keepStandby !== true) exposed.add(kid);
  if (rotation.keepStandby !== true || leaving !== null) return null;
  const isIdle = before.rotation === null && before.retirements.length === 0 && before.server.inFlight === null;
  const active = before.keys.find(({ state }) => state === 'active');
  const isFit = before.keys.some((key) => key.kid === kid && key.alg === active?.alg);
  // A served set has its own document, and the first rotation of an imported key may change the form.
  const isPlain = client.app.policy.format === undefined && active?.thumbprint !== initialOf(client);
  return isIdle && isFit && isPlain ? { rotation: rotation.id, kid, documents: new Set() } : null;
}

function judgeChoice({ rotation }: StoredRecord, { using }: Standing, say: Say): void {
  if (using === null || rotation?.id !== using.rotation) return;
  const { kid } = rotation.phase;
  // A server that refuses it has another one made.
  if (kid !== undefined && kid !== using.kid && using.documents.size === 0)
    say('standby_unused', `rotation ${using.rotation} had ${using.kid}, and made ${kid}`);
}
