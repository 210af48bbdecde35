/**
 * Looking at one client. Wacht lists whole apps and has no call for a single client; but a PATCH without members answers the client and changes nothing except
 * `updated_at`. That is not documented, so the first look of a deployment is compared with the client's row in the list, and a deployment where anything
 * else differs, or that does not know such a PATCH, goes by lists.
 */
import { type ClientRef, splitReference } from '../core/client.ts';
import { type ObservedClient, showsTheSame } from '../core/document.ts';
import { type LookBy, SLOW_MS } from '../core/server.ts';
import { monotonic, untilAborted } from '../time.ts';
import { ApiError } from './api-error.ts';
import type { PatchReply, WachtClient } from './client.ts';
import type { Lists } from './lists.ts';

export interface LookOptions {
  readonly wacht: Pick<WachtClient, 'lookAtClient'>;
  readonly lists: Lists;
  /** What was found out about this deployment before; null: nothing, or too long ago. */
  readonly known: () => Promise<LookBy | null>;
  readonly note: (by: LookBy, why: string) => Promise<void>;
}

export interface Looks {
  /**
   * @param urgent looks by a PATCH unless the deployment is known to go by lists: the comparison with a list is left to others
   * @throws ApiError when nothing was learned: never taken for a client without keys
   */
  look(ref: ClientRef, urgent: boolean, signal?: AbortSignal): Promise<Look>;
}

/** What the server showed of a client, and how long ago in ms that was asked for. Null: it has no such client, or one that is not active. */
export interface Look {
  readonly client: ObservedClient | null;
  readonly ageMs: number;
}

/** The server does not know a PATCH without members. */
const UNKNOWN_CALL: ReadonlySet<number> = new Set([405, 422]);

/** The server does not know such a PATCH, or refuses what it has stored of this one client. When two clients get this answer, it is the server. */
const NOT_TAKEN = 400;

/** What was found out is asked for again after this time, in ms: another worker may have found out more. */
const KNOWN_FOR_MS = 60 * 60_000;

export function openLooks({ wacht, lists, known, note }: LookOptions): Looks {
  let settled: { readonly by: LookBy; readonly at: number } | null = null;
  let comparing: Promise<unknown> | null = null;
  const untaken = new Set<ClientRef>();

  async function way(): Promise<LookBy | null> {
    if (settled !== null && monotonic() - settled.at < KNOWN_FOR_MS) return settled.by;
    const at = monotonic();
    const by = await known();
    if (by !== null) settled = { by, at };
    return by;
  }

  async function settle(by: LookBy, why: string): Promise<void> {
    settled = { by, at: monotonic() };
    await note(by, why);
  }

  async function byList(ref: ClientRef, signal: AbortSignal | undefined): Promise<Look> {
    const startedAt = monotonic();
    const client = await lists.find(ref, signal);
    // A list may take longer than a look may be old; a second one would be as old.
    return { client, ageMs: Math.min(age(startedAt), SLOW_MS) };
  }

  /** Null: the server does not know, or does not take, such a PATCH. */
  async function byPatch(ref: ClientRef, signal: AbortSignal | undefined): Promise<Look | null> {
    const startedAt = monotonic();
    const reply = await wacht.lookAtClient(ref, signal);
    if (reply.class !== 'refused' || reply.status === 404) {
      return { client: shown(ref, reply), ageMs: age(startedAt) };
    }
    if (reply.status === NOT_TAKEN) untaken.add(ref);
    const speaksForAll = UNKNOWN_CALL.has(reply.status) || untaken.size > 1;
    if (!speaksForAll && reply.status !== NOT_TAKEN) throw failed(ref, reply);
    if (speaksForAll) await settle('list', `the server answers ${reply.status} to a PATCH without members`);
    return null;
  }

  async function compare(ref: ClientRef, signal: AbortSignal | undefined): Promise<Look> {
    const listed = await byList(ref, signal);
    const { client: row } = listed;
    if (row === null) return listed;
    const look = await byPatch(ref, signal);
    if (look === null) return byList(ref, signal);
    if (look.client === null) return look;
    // Somebody may have changed it between the two.
    const same = showsTheSame(row, look.client) || showsTheSame((await lists.find(ref, signal)) ?? row, look.client);
    if (same) await settle('patch', 'a PATCH without members changes nothing');
    else await settle('list', 'after a PATCH without members the client is another one');
    return look;
  }

  /** The first of those that come while nothing is known compares, and the others wait for it. */
  async function first(ref: ClientRef, signal: AbortSignal | undefined): Promise<Look> {
    if (comparing !== null) {
      await untilAborted(comparing, signal);
      return look(ref, false, signal);
    }
    const comparison = compare(ref, signal);
    comparing = comparison.catch(() => {});
    try {
      return await comparison;
    } finally {
      comparing = null;
    }
  }

  async function look(ref: ClientRef, urgent: boolean, signal?: AbortSignal): Promise<Look> {
    const by = await way();
    if (by === 'list') return byList(ref, signal);
    if (by === null && !urgent) return first(ref, signal);
    return (await byPatch(ref, signal)) ?? byList(ref, signal);
  }

  return { look };
}

function age(startedAt: number): number {
  return Math.round(monotonic() - startedAt);
}

function shown(ref: ClientRef, reply: PatchReply): ObservedClient | null {
  if (reply.class === 'refused' && reply.status === 404) return null;
  if (reply.class !== 'done') throw failed(ref, reply);
  const { status, client } = reply;
  if (client.id === splitReference(ref).id) return client;
  throw failed(ref, { class: 'unknown', status, message: `the answer shows another client (${client.id})` });
}

function failed(ref: ClientRef, reply: Exclude<PatchReply, { class: 'done' }>): ApiError {
  return new ApiError(`Looking at ${ref} (by a PATCH without members)`, reply);
}
