/**
 * Looking at one client. Wacht lists whole apps and has no call for a single client; but a PATCH without members answers the client and changes nothing except
 * `updated_at`. That is not documented, so the first look of a deployment is compared with the client's row in the list, and a deployment where anything
 * else differs, or that refuses such a PATCH, goes by lists.
 */
import { type ClientRef, splitReference } from '../core/client.ts';
import { type ObservedClient, showsTheSame } from '../core/document.ts';
import { FRESH_MS, type LookBy } from '../core/server.ts';
import { monotonic } from '../time.ts';
import { ApiError } from './api-error.ts';
import type { PatchReply, WachtClient } from './client.ts';
import type { Lists } from './lists.ts';

export interface LookOptions {
  readonly wacht: Pick<WachtClient, 'lookAtClient'>;
  readonly lists: Lists;
  /** What was found out of this deployment before; null: nothing, or too long ago. */
  readonly known: () => Promise<LookBy | null>;
  readonly note: (by: LookBy, why: string) => Promise<void>;
}

export interface Looks {
  /** @throws ApiError when nothing was learned: never taken for a client without keys */
  look(ref: ClientRef, signal?: AbortSignal): Promise<Look>;
}

/** What the server showed of a client, and how long ago in ms that was asked for. Null: it has no such client, or one that is not active. */
export interface Look {
  readonly client: ObservedClient | null;
  readonly ageMs: number;
}

/** The server does not know a PATCH without members. */
const UNKNOWN_CALL: ReadonlySet<number> = new Set([400, 405, 422]);

export function openLooks({ wacht, lists, known, note }: LookOptions): Looks {
  let by: LookBy | null = null;
  let comparing: Promise<void> | null = null;

  async function look(ref: ClientRef, signal?: AbortSignal): Promise<ObservedClient | null> {
    by ??= await known();
    if (by === 'list') return lists.find(ref);
    if (by === 'patch') {
      const reply = await wacht.lookAtClient(ref, signal);
      if (!isUnknownCall(reply)) return shown(ref, reply);
      await settle('list', `the server answers ${reply.status} to a PATCH without members`);
      return lists.find(ref);
    }
    if (comparing !== null) {
      await comparing.catch(() => {});
      return look(ref, signal);
    }
    const comparison = compare(ref, signal);
    comparing = comparison.then(
      () => {},
      () => {},
    );
    try {
      return await comparison;
    } finally {
      comparing = null;
    }
  }

  async function compare(ref: ClientRef, signal: AbortSignal | undefined): Promise<ObservedClient | null> {
    const row = await lists.find(ref);
    if (row === null) return null;
    const reply = await wacht.lookAtClient(ref, signal);
    if (isUnknownCall(reply)) {
      await settle('list', `the server answers ${reply.status} to a PATCH without members`);
      return row;
    }
    const client = shown(ref, reply);
    if (client === null) return null;
    if (row.id === client.id && showsTheSame(row, client))
      await settle('patch', 'a PATCH without members changes nothing');
    else await settle('list', 'a PATCH without members showed another client than the list before it');
    return client;
  }

  async function settle(found: LookBy, why: string): Promise<void> {
    by = found;
    await note(found, why);
  }

  return {
    async look(ref, signal) {
      const startedAt = monotonic();
      const client = await look(ref, signal);
      const ageMs = Math.round(monotonic() - startedAt);
      // A long list has nothing younger to offer: looked at again, the client would be as old.
      return { client, ageMs: by === 'list' ? Math.min(ageMs, FRESH_MS / 2) : ageMs };
    },
  };
}

function isUnknownCall(reply: PatchReply): reply is Extract<PatchReply, { class: 'refused' }> {
  return reply.class === 'refused' && UNKNOWN_CALL.has(reply.status);
}

function shown(ref: ClientRef, reply: PatchReply): ObservedClient | null {
  if (reply.class === 'done') return reply.client;
  if (reply.class === 'refused' && reply.status === 404) return null;
  const { app } = splitReference(ref);
  throw new ApiError(`Looking at ${ref} (an empty PATCH in ${app})`, reply);
}
