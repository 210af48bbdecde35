/** What each audit entry shows of the keys of its client. */
import type { AuditData, AuditEntry, AuditType } from './audit.ts';
import {
  accepted,
  become,
  ended,
  gone,
  type Line,
  leaving,
  type Moment,
  mark,
  sent,
  shown,
  untaken,
} from './key-line.ts';

export interface Lines {
  /** The last entry that names all keys of the client. */
  complete: Moment | null;
  /** No entry is missing since then. */
  isWhole: boolean;
  /** Rotations that sent a document since then; null: upkeep. */
  readonly senders: Set<string | null>;
  /** When the first of them did. */
  firstSent: Moment | null;
  /** How many documents were sent since then that the server may have taken. */
  open: number;
  readonly lines: Map<string, Line>;
}

export type Told = Pick<AuditEntry, 'seq' | 'time' | 'type' | 'rotation' | 'data'>;

/** The line of a key, also of one that is new; null where it begins too late to matter. `from` null: before all that is known. */
type LineOf = (kid: string, managed: boolean, from: Moment | null) => Line | null;

interface Telling {
  readonly client: Lines;
  readonly told: Told;
  readonly lineOf: LineOf;
  /** The line of the entry's `kid`, where there is one. */
  readonly line: Line | undefined;
}

const TELLS: Readonly<Record<string, (telling: Telling) => void>> = {
  'key.publishing': sending,
  'key.publish_failed': notTaken,
  'key.published': (telling) => showing(telling, true),
  'client.drifted': (telling) => (showsKeys(telling.told) ? showing(telling, false) : unseen(telling)),
  'client.found'(telling) {
    const { client, told } = telling;
    // Its keys were ours, until a lost store was declared.
    for (const kid of listOf(told.data.kids)) released(client.lines.get(kid), told);
    showing({ ...telling, told: { ...told, data: { ...told.data, kids: [] } } }, false);
  },
  'client.released': ({ client, told }) => {
    for (const line of client.lines.values()) released(line, told);
  },
  'key.imported': imported,
  'key.proven': proved,
  'key.activated'({ client, told, line }) {
    if (line === undefined) return;
    mark(line, 'activated', told);
    if (told.data.proof === 'accepted') accepted(line, told, client.complete);
    else shown(line, told, client.complete);
  },
  'key.deactivated': ({ told, line }) => line !== undefined && mark(line, 'deactivated', told),
  'key.compromised': ({ told, line }) => line !== undefined && mark(line, 'compromised', told),
  'key.destroyed': ({ told, line }) => line !== undefined && ended(line, 'destroyed', told),
  'rotation.failed': failed,
};

export function tellsOfKeys(type: string): type is AuditType {
  return Object.hasOwn(TELLS, type);
}

export function tell(client: Lines, told: Told, lineOf: LineOf): void {
  const { kid } = told.data;
  const line = typeof kid === 'string' ? client.lines.get(kid) : undefined;
  TELLS[told.type]?.({ client, told, lineOf, line });
}

/** Entries that name the keys of a document, or of what the server shows. */
const SETS: ReadonlySet<AuditType> = new Set<AuditType>(['key.published', 'client.found', 'client.drifted']);

/**
 * `known`: only those that an entry has room for, or beside an address whose keys are not known. Null also for an entry of an earlier version, which names
 * only our keys.
 */
export function namesIn({ type, data }: Told): 'all' | 'known' | null {
  if (!SETS.has(type) || data.foreign === undefined) return null;
  return data.foreign_more === undefined && data.jwks_uri !== true ? 'all' : 'known';
}

/** The intent of a PATCH: from now on the server may have it. */
function sending({ client, told, lineOf }: Telling): void {
  const names = namesOf(told.data);
  client.open += 1;
  client.senders.add(told.rotation);
  client.firstSent ??= { seq: told.seq, time: told.time };
  for (const [name, managed] of names) {
    const since = sinceOf(client, managed, told);
    const line = lineOf(name, managed, since);
    if (line !== null) sent(line, told, since);
  }
  for (const name of listOf(told.data.drops)) {
    const line = lineOf(name, false, client.complete);
    if (line !== null) sent(line, told, client.complete);
  }
  for (const line of client.lines.values()) if (!names.has(line.kid)) leaving(line, told);
}

/** Answers after which the server has done nothing, and what never left the machine. */
const UNTAKEN: ReadonlySet<unknown> = new Set(['refused', 'forbidden', 'credential', 'throttled', 'not_sent']);

/** Where no other document may have arrived, all is as it was before this one. */
function notTaken({ client, told }: Telling): void {
  if (!UNTAKEN.has(told.data.class)) return;
  client.open -= 1;
  if (client.open !== 0) return;
  for (const line of client.lines.values()) untaken(line, told);
}

/** @param isOurs the server has our document. If it has another one, or a `jwks_uri`, a key that is not shown may still sign in */
function showing({ client, told, lineOf }: Telling, isOurs: boolean): void {
  const { data } = told;
  const firstSent = client.firstSent ?? told;
  const names = namesOf(data);
  for (const [name, managed] of names) {
    const since = sinceOf(client, managed, firstSent);
    const line = lineOf(name, managed, since);
    if (line !== null) shown(line, told, since);
  }
  Object.assign(client, { firstSent: null, open: 0 });
  client.senders.clear();
  for (const line of client.lines.values()) {
    if (names.has(line.kid)) continue;
    if (namesIn(told) === 'all' || (isOurs && line.managed)) gone(line, told);
    else leaving(line, told);
  }
}

/** Of a client that has vanished an entry shows no document. */
function showsKeys({ data }: Told): boolean {
  return data.kids !== undefined || data.foreign !== undefined;
}

/** Somebody else has changed something. What was sent before may still have been taken: only a document that is shown tells. */
function unseen({ client, told }: Telling): void {
  for (const line of client.lines.values()) leaving(line, told);
}

/** When a key that has no line may have come: one of ours when it was sent, any other since all keys were named last. */
function sinceOf({ complete, isWhole }: Lines, managed: boolean, sentAt: Moment): Moment | null {
  return managed && isWhole ? sentAt : complete;
}

function imported({ client, told, lineOf }: Telling): void {
  const { kid, id, proof } = told.data;
  if (typeof kid !== 'string') return;
  const nameless = typeof id === 'string' ? client.lines.get(id) : undefined;
  const line = client.lines.get(kid) ?? lineOf(kid, true, nameless?.changes[0]?.from ?? client.complete);
  if (line === null) return;
  if (nameless !== undefined && nameless !== line) {
    // It was shown without a `kid`.
    line.changes.push(...nameless.changes);
    Object.assign(line, { level: nameless.level, isShown: nameless.isShown });
    client.lines.delete(nameless.kid);
  }
  line.managed = true;
  mark(line, 'imported', told);
  if (proof === 'accepted') accepted(line, told, client.complete);
  else if (line.level === 'none') become(line, 'possible', client.complete);
}

function proved({ client, told, line }: Telling): void {
  if (line === undefined) return;
  const { expected, verdict, left } = told.data;
  if (expected === 'accepted') accepted(line, told, client.complete);
  // Under another of its names it may still be taken; an earlier version does not say.
  else if (verdict === 'refused' && left === 0) ended(line, 'refused', told);
  else mark(line, verdict === 'refused' ? 'refused' : 'unproven', told);
}

/** A rotation that ended before the server took anything of it: its key was never published, whatever became of other documents. */
function failed({ client, told, line }: Telling): void {
  if (told.data.sent !== false) return;
  const { senders, lines } = client;
  const isAlone = senders.size === 1 && senders.has(told.rotation);
  for (const one of lines.values()) if (isAlone || one === line) untaken(one, told);
}

function released(line: Line | undefined, at: Moment): void {
  if (line === undefined) return;
  // What its owner does with it from now on, nobody proves.
  Object.assign(line, { managed: false, isAccepted: false });
  mark(line, 'released', at);
}

/** The names of a document; true for those of our keys. */
function namesOf({ kids, foreign }: AuditData): ReadonlyMap<string, boolean> {
  const theirs = listOf(foreign).map((name) => [name, false] as const);
  return new Map([...theirs, ...listOf(kids).map((name) => [name, true] as const)]);
}

function listOf(value: AuditData[string] | undefined): readonly string[] {
  return Array.isArray(value) ? value : [];
}
