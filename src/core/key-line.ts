/** The times of one key of one client, as audit entries show them. */

/** An audit entry that shows something. */
export interface Moment {
  readonly seq: number;
  /** RFC 3339, UTC. */
  readonly time: string;
}

/**
 * How sure the log is that the key could sign in. `possible`: a PATCH that may have changed that was on its way, or nothing has shown yet that the server
 * refuses the key. `published`: the server showed it. `proven`: and a sign-in with it was accepted.
 */
export type Certainty = 'possible' | 'published' | 'proven';

export type MarkName =
  | 'found'
  | 'imported'
  | 'sent'
  | 'published'
  | 'proven'
  | 'activated'
  | 'deactivated'
  | 'compromised'
  | 'replacing'
  | 'withdrawn'
  | 'not_sent'
  | 'refused'
  | 'unproven'
  | 'destroyed'
  | 'released';

export interface Mark extends Moment {
  readonly what: MarkName;
}

/** `until` null: not within the log. `from` null: it was so before the log knew the key. */
export interface Span {
  readonly from: Moment | null;
  readonly until: Moment | null;
}

export interface KeyAt {
  readonly kid: string;
  /** False: a key that is not ours. */
  readonly managed: boolean;
  readonly certainty: Certainty;
  readonly possible: Span;
  readonly published: Span | null;
  readonly proven: Span | null;
  /** What entries show of it, oldest first. */
  readonly entries: readonly Mark[];
}

type Level = Certainty | 'none';

interface Change {
  readonly level: Level;
  readonly from: Moment | null;
}

export interface Line {
  readonly kid: string;
  managed: boolean;
  level: Level;
  /** The server was seen to take it: while it is shown it is proven. */
  isAccepted: boolean;
  /** The last document that the server was seen to have holds it. */
  isShown: boolean;
  readonly marks: Mark[];
  readonly changes: Change[];
}

export function newLine(kid: string, managed: boolean): Line {
  return { kid, managed, level: 'none', isAccepted: false, isShown: false, marks: [], changes: [] };
}

export function mark({ marks }: Line, what: MarkName, { seq, time }: Moment): void {
  marks.push({ what, seq, time });
}

/** @param from when that may have begun; null: before anything that the log tells */
export function become(line: Line, level: Level, from: Moment | null): void {
  if (line.level === level) return;
  line.level = level;
  line.changes.push({ level, from: from === null ? null : { seq: from.seq, time: from.time } });
}

/** A document with the key was sent. @param since when it may have stood there */
export function sent(line: Line, at: Moment, since: Moment | null): void {
  if (line.level !== 'none') return;
  mark(line, line.managed ? 'sent' : 'found', at);
  become(line, 'possible', since);
}

/** The server shows it. @param since when that may have begun, of a key that is not known to have been sent */
export function shown(line: Line, at: Moment, since: Moment | null): void {
  if (line.level === 'none') become(line, 'possible', since);
  if (!line.isShown) mark(line, line.managed || line.marks.length > 0 ? 'published' : 'found', at);
  line.isShown = true;
  become(line, line.isAccepted ? 'proven' : 'published', at);
}

/** A document without the key was sent. */
export function leaving(line: Line, at: Moment): void {
  if (line.level === 'none' || line.level === 'possible') return;
  mark(line, 'replacing', at);
  become(line, 'possible', at);
}

/**
 * The server took nothing of what was sent since it last showed a document: all is as it was then. A key of ours that was only ever sent was never there.
 * One that a rollback puts back was published before.
 */
export function untaken(line: Line, at: Moment): void {
  if (line.isShown) become(line, line.isAccepted ? 'proven' : 'published', at);
  else if (line.managed && line.level === 'possible' && line.marks.every(({ what }) => what === 'sent'))
    ended(line, 'not_sent', at);
}

/** The server shows a document without it. Of a key that is not ours nothing else can show that it is refused. */
export function gone(line: Line, at: Moment): void {
  if (line.level === 'none') return;
  const isLast = !line.managed;
  if (line.isShown || isLast) mark(line, 'withdrawn', at);
  line.isShown = false;
  become(line, isLast ? 'none' : 'possible', at);
}

export function accepted(line: Line, at: Moment, since: Moment | null): void {
  if (!line.isAccepted) mark(line, 'proven', at);
  line.isAccepted = true;
  if (line.level === 'none') become(line, 'possible', since);
  line.isShown = true;
  become(line, 'proven', at);
}

/** From now on the key cannot sign in. */
export function ended(line: Line, what: 'refused' | 'destroyed' | 'not_sent', at: Moment): void {
  mark(line, what, at);
  line.isShown = false;
  become(line, 'none', at);
}

/** True when nothing that comes later is about the time `at`, in ms since the epoch. */
export function isOver({ level, changes }: Line, at: number): boolean {
  const last = changes.at(-1);
  return level === 'none' && (last === undefined || startOf(last) <= at);
}

/** Null when it could not sign in then. */
export function lineAt(line: Line, at: number): KeyAt | null {
  const { kid, managed, changes, marks } = line;
  const index = changes.findLastIndex((change) => startOf(change) <= at);
  const level = changes[index]?.level ?? 'none';
  if (level === 'none') return null;
  const spanOf = (...levels: Level[]) => (levels.includes(level) ? span(changes, index, levels) : null);
  const possible = span(changes, index, ['possible', 'published', 'proven']);
  const first = possible.from?.seq ?? 0;
  return {
    kid,
    managed,
    certainty: level,
    possible,
    published: spanOf('published', 'proven'),
    proven: spanOf('proven'),
    entries: marks.filter(({ seq }) => seq >= first),
  };
}

function startOf({ from }: Change): number {
  return from === null ? Number.NEGATIVE_INFINITY : Date.parse(from.time);
}

/** The changes around one of them that are all of these levels. */
function span(changes: readonly Change[], index: number, levels: readonly Level[]): Span {
  const before = changes.findLastIndex(({ level }, place) => place < index && !levels.includes(level));
  const after = changes.find(({ level }, place) => place > index && !levels.includes(level));
  return { from: changes[before + 1]?.from ?? null, until: after?.from ?? null };
}
