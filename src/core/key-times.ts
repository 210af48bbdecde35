/**
 * Which keys could sign in at a time, from the audit log alone. Entries come in the order of their numbers; what is kept grows with the clients and the keys of
 * that time, not with the log.
 *
 * A key could sign in, perhaps, from the moment that a document with it was about to be sent (`key.publishing`, on disk before the PATCH) until the
 * server was seen to refuse it (`key.proven`). Between a document without it and that refusal, a server may go on taking it from a cache.
 */
import type { AuditEntry, AuditType } from './audit.ts';
import { type Lines, namesIn, type Told, tell, tellsOfKeys } from './key-entries.ts';
import { isOver, type KeyAt, type Line, lineAt, type Moment, newLine } from './key-line.ts';

/** From these on rekeyd looks after the client. */
const WATCHED: ReadonlySet<AuditType> = new Set<AuditType>(['key.imported', 'key.publishing', 'key.activated']);

const LEFT_ALONE: ReadonlySet<AuditType> = new Set<AuditType>(['client.found', 'client.released']);

export interface ClientAt {
  readonly client: string;
  /** False: rekeyd left it alone, and what its owner changed since the last entry is not in the log. */
  readonly watched: boolean;
  /** It had an address of its own, or more keys than entries name: other keys may have signed in, too. */
  readonly others: boolean;
  readonly keys: readonly KeyAt[];
}

export interface Unanswered {
  readonly client: string;
  /** From this entry on the log tells its keys; null: never. */
  readonly since: Moment | null;
}

/** A part of the log that is not there. `after` null: its beginning. `lost`: the store was lost, or rolled back. */
export interface Gap {
  readonly after: Moment | null;
  readonly before: Moment;
  readonly lost: boolean;
}

export interface KeysAt {
  readonly clients: readonly ClientAt[];
  /** Clients of which the log does not tell the keys at that time. */
  readonly unanswered: readonly Unanswered[];
  readonly first: Moment | null;
  readonly last: Moment | null;
  readonly gaps: readonly Gap[];
  /** Between these two the store's clock was set back, and the time is between them. */
  readonly clock: readonly { readonly from: Moment; readonly to: Moment }[];
}

interface Client extends Lines {
  /** The first entry from which on its keys are known; null while they are not. */
  since: Moment | null;
  /** It was not there before: its first entry is the one that finds it. */
  isNew: boolean;
  /** At the time that is asked for. */
  watched: boolean;
  others: boolean;
}

export class KeyTimes {
  readonly #at: number;
  readonly #only: string | null;
  readonly #clients = new Map<string, Client>();
  readonly #gaps: Gap[] = [];
  readonly #clock: { from: Moment; to: Moment }[] = [];
  #first: Moment | null = null;
  #last: Moment | null = null;
  #latest: Moment | null = null;
  /** The number of the entry after the last gap before the time that is asked for. */
  #known = 0;
  /** The same of the last gap of all. */
  #gapEnd = 0;

  /** @param at ms since the epoch. @param only one client, null: all */
  constructor(at: number, only: string | null = null) {
    this.#at = at;
    this.#only = only;
  }

  /** Each entry of the log, those that do not tell of keys too: a number that is missing is a gap. */
  count(seq: number, time: string, lost = false): void {
    const now = { seq, time };
    const before = this.#last;
    if (lost || (before === null ? seq !== 1 : seq !== before.seq + 1)) this.#gap({ after: before, before: now, lost });
    if (this.#latest !== null && time < this.#latest.time) this.#setBack(this.#latest, now);
    if (this.#latest === null || time >= this.#latest.time) this.#latest = now;
    this.#first ??= now;
    this.#last = now;
  }

  #gap(gap: Gap): void {
    this.#gaps.push(gap);
    this.#gapEnd = gap.before.seq;
    if (gap.after === null || Date.parse(gap.after.time) <= this.#at) this.#known = gap.before.seq;
  }

  #setBack(from: Moment, to: Moment): void {
    if (Date.parse(to.time) <= this.#at && this.#at <= Date.parse(from.time)) this.#clock.push({ from, to });
  }

  take(entry: Told & Pick<AuditEntry, 'client'>): void {
    const { seq, time, type, client: ref } = entry;
    this.count(seq, time, type === 'store.segment');
    if (ref === null || !tellsOfKeys(type) || (this.#only !== null && ref !== this.#only)) return;
    const known = this.#clients.get(ref);
    const client = known ?? newClient(type === 'client.found' && entry.data.error === undefined);
    if (known === undefined) this.#clients.set(ref, client);
    const isBefore = Date.parse(time) <= this.#at;
    if (isBefore) {
      if (LEFT_ALONE.has(type)) client.watched = false;
      else if (WATCHED.has(type)) client.watched = true;
    }
    client.isWhole = (client.complete?.seq ?? 0) >= this.#gapEnd;
    tell(client, entry, (kid, managed, from) => this.#line(client, kid, managed, from));
    const names = namesIn(entry);
    if (names === 'all') client.complete = { seq, time };
    if (names !== null && (client.since === null || client.since.seq < this.#known)) client.since = { seq, time };
    if (isBefore) {
      if (names !== null) client.others = names === 'known';
      for (const [kid, line] of client.lines) if (isOver(line, this.#at)) client.lines.delete(kid);
    }
  }

  /** A key that can have begun to sign in only later is not kept. */
  #line({ lines }: Lines, kid: string, managed: boolean, from: Moment | null): Line | null {
    const line = lines.get(kid);
    if (line !== undefined) return line;
    if (from !== null && Date.parse(from.time) > this.#at) return null;
    const fresh = newLine(kid, managed);
    lines.set(kid, fresh);
    return fresh;
  }

  answer(): KeysAt {
    const clients: ClientAt[] = [];
    const unanswered: Unanswered[] = [];
    for (const [client, { since, isNew, watched, others, lines }] of this.#clients) {
      const isLater = since === null || Date.parse(since.time) > this.#at;
      if (isLater && isNew && this.#only === null) continue;
      if (isLater || since.seq < this.#known) {
        unanswered.push({ client, since: isLater ? since : null });
        continue;
      }
      const keys = [...lines.values()].flatMap((line) => lineAt(line, this.#at) ?? []);
      clients.push({ client, watched, others, keys });
    }
    return { clients, unanswered, first: this.#first, last: this.#last, gaps: this.#gaps, clock: this.#clock };
  }
}

function newClient(isNew: boolean): Client {
  const lines = { lines: new Map<string, Line>(), senders: new Set<string | null>(), firstSent: null, open: 0 };
  return { since: null, isNew, watched: false, others: false, complete: null, isWhole: false, ...lines };
}
