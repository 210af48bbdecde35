/** What the server holds, as far as we know, and what is on its way there. */
import type { Format, KeyDocument, ObservedClient, PublicJwk } from './document.ts';
import { NO_TRIES, type Tries } from './tries.ts';

export interface ServerSide {
  /** What it was last seen to show, and when. */
  readonly observed: { readonly client: ObservedClient; readonly at: number };
  /** How the active key is published; null until a key of ours is. */
  readonly format: Format | null;
  /** When it last confirmed a document of ours; null: it never did, so that nothing there counts as drift. */
  readonly confirmedAt: number | null;
  /** The public set that was last written where our `jwks_uri` points; null when there is none, or it is not known. */
  readonly served: readonly PublicJwk[] | null;
  readonly inFlight: InFlight | null;
  /** PATCH answers in a row that differ from what was sent. Only those say that another program writes too, so only those halt a client. */
  readonly conflicts: number;
  /** PATCHes that failed since the last one that succeeded; absent: none. */
  readonly failing?: Failing;
  /** Of what is done for no rotation and no retirement: putting right what somebody changed. */
  readonly tries: Tries;
}

/** Of a row of failed PATCHes: what the audit log says of it. */
export interface Failing {
  readonly row: number;
  /** Since the last entry that told of one. */
  readonly untold: number;
  /** When that entry was made, in ms since the epoch. */
  readonly toldAt: number;
}

/** A PATCH that may still reach the server until `deadline`. */
export interface InFlight {
  readonly document: KeyDocument;
  readonly deadline: number;
  /** One before it was never answered, and may still arrive too. */
  readonly again: boolean;
  /** No document of this rotation was sent before it. */
  readonly isFirst: boolean;
}

/** How old, in ms, an observation may be when a new document replaces what was observed. */
export const FRESH_MS = 5_000;

/** A look that took longer than this, in ms, leaves its PATCH too little of {@link FRESH_MS}. */
export const SLOW_MS = FRESH_MS / 2;

export function newServerSide(client: ObservedClient, at: number): ServerSide {
  return {
    observed: { client, at },
    format: null,
    confirmedAt: null,
    served: null,
    inFlight: null,
    conflicts: 0,
    tries: NO_TRIES,
  };
}

/** True while a new document may replace what was observed. An observation from later than now is not fresh: the store's clock was set back since. */
export function isFresh({ observed }: Pick<ServerSide, 'observed'>, now: number): boolean {
  return Math.abs(now - observed.at) <= FRESH_MS;
}

/** What was seen is too old for anything: look again first. */
export function outdated(server: ServerSide): ServerSide {
  return { ...server, observed: { ...server.observed, at: 0 } };
}

/** A PATCH that was answered cannot arrive later; one with the same bytes that was sent before it still can. */
export function answered(server: ServerSide): ServerSide {
  return server.inFlight?.again ? server : { ...server, inFlight: null };
}

/** How a single client is looked at. `patch`: by a PATCH without members, which answers one client; `list`: in the list of its app. */
export type LookBy = 'patch' | 'list';

/** Conflicting answers in a row after which a person has to look. */
export const CONFLICTS_BORNE = 2;
