/** What the checker judges by: what happened, and how everything stands at the end. Read by raw names, with none of rekeyd's code. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import type { LogEntry } from '../../emulator/log.ts';
import type { Emulator } from '../../emulator/server.ts';
import { DEPLOYMENT } from '../names.ts';
import type { FaultClient } from '../stage/fleet.ts';
import type { Event, JwkMembers } from './history.ts';
import { snapshot } from './watch.ts';

/** A document on its way to the server, as the record keeps it. */
export type StoredDocument = { readonly alg: string } & (
  | { readonly format: 'jwks'; readonly keys: readonly { readonly jwk: JwkMembers }[] }
  | { readonly format: 'pem'; readonly pem: string }
  | { readonly format: 'jwks_uri'; readonly uri: string }
);

interface StoredTries {
  readonly error: string | null;
}

/** The parts of a client's record that are judged. */
export interface StoredRecord {
  readonly enrolment: 'found' | 'held' | 'enrolled';
  readonly keys: readonly {
    readonly kid: string;
    readonly thumbprint: string;
    readonly alg: string;
    readonly state: string;
    /** Milliseconds since the epoch. */
    readonly activatedAt?: number | null;
    readonly createdAt?: number;
  }[];
  /** Keys that are destroyed, and foreign ones that were reported. */
  readonly former: readonly { readonly kid: string }[];
  readonly rotation: {
    readonly id: string;
    readonly actor?: string;
    readonly strategy: string;
    readonly compromised: object | null;
    /** Whoever reported a key said that its standby key did not leak with it. */
    readonly keepStandby?: boolean;
    readonly phase: { readonly name: string; readonly kid?: string };
    readonly tries: StoredTries;
    /** Its key is only offered to the application of a found client. */
    readonly adopting?: true;
    /** The wave that it belongs to. */
    readonly wave?: { readonly policy: string; readonly id: string };
    /** The retirement of the key that it puts back. */
    readonly rollsBack?: { readonly rotation: { readonly id: string }; readonly delayed?: true };
  } | null;
  readonly retirements: readonly {
    readonly kid: string | null;
    readonly role: 'replaced' | 'discarded';
    readonly phase: string;
    readonly until: number;
    readonly rotation: { readonly id: string };
    /** It was told that signers keep it for too long. */
    readonly delayed?: true;
    readonly tries: StoredTries;
  }[];
  readonly server: { readonly inFlight: { readonly document: StoredDocument; readonly deadline: number } | null };
  /** A key that is kept ready. `leaving`: why it is given up. */
  readonly standby?: { readonly kid: string | null; readonly leaving: string | null };
  readonly signers?: { readonly delivered: { readonly next: string | null } | null };
  readonly halted: string | null;
  /** It may tell what was, before a store was lost. */
  readonly doubted?: true;
}

/** A rotation that ended. */
export interface StoredEnd {
  readonly id: string;
  readonly state: string;
  readonly error: string | null;
}

export interface AuditLine {
  readonly seq: number;
  readonly at: number;
  readonly type: string;
  readonly client: string | null;
  readonly rotation: string | null;
  readonly actor: string;
  readonly reason?: string;
  /** Who was authenticated. */
  readonly claimed_by?: string;
  readonly data: { readonly [name: string]: unknown };
  /** As it was written. */
  readonly draft: string;
}

export interface ClientEnd {
  readonly client: FaultClient;
  /** Null: the store has never heard of it. */
  readonly record: StoredRecord | null;
  /** Newest first. */
  readonly history: readonly StoredEnd[];
  /** thumbprint → JWE. */
  readonly sealed: ReadonlyMap<string, string>;
  readonly server: { readonly keys: readonly JwkMembers[]; readonly jwksUri: string | null };
  /** Files in the key folder by name; null when there is no such folder. */
  readonly folder: ReadonlyMap<string, JwkMembers> | null;
  /** The set under `jwks_uri`, when there is one. */
  readonly served: readonly JwkMembers[] | null;
  /** Still listed as unfinished. */
  readonly open: boolean;
}

export interface Evidence {
  /** In order of their time. */
  readonly events: readonly Event[];
  /** In order of arrival. */
  readonly requests: readonly LogEntry[];
  readonly audit: readonly AuditLine[];
  /** What the counter beside the log says. */
  readonly auditSize: number;
  readonly ends: readonly ClientEnd[];
}

export async function gather(
  clients: readonly FaultClient[],
  events: readonly Event[],
  redis: Redis,
  emulator: Emulator,
  publicFolder: string,
): Promise<Evidence> {
  const stored = await snapshot(redis);
  const open = new Set(await redis.smembers('{rekeyd}:store:open'));
  const ends = await Promise.all(
    clients.map(async (client): Promise<ClientEnd> => {
      const { jwks, jwks_uri: jwksUri } = emulator.client(DEPLOYMENT, client.app.slug, client.id);
      const ended = await redis.lrange(`{rekeyd}:store:history:${client.ref}`, 0, -1);
      return {
        client,
        record: JSON.parse(stored.clients[client.ref]?.record ?? 'null'),
        history: ended.map((summary): StoredEnd => JSON.parse(summary)),
        sealed: new Map(Object.entries(await redis.hgetall(`{rekeyd}:store:sealed:${client.ref}`))),
        server: { keys: (jwks?.keys ?? []).map((key) => ({ ...key })), jwksUri },
        folder: await readFolder(client.folder),
        served: jwksUri === null ? null : await readServed(join(publicFolder, ...client.ref.split('/'))),
        open: open.has(client.ref),
      };
    }),
  );
  return {
    events: [...events].sort((a, b) => a.at - b.at),
    requests: emulator.log,
    audit: (await redis.xrange('{rekeyd}:store:audit', '-', '+')).map(auditLine),
    auditSize: Number((await redis.get('{rekeyd}:store:audit:size')) ?? '0'),
    ends,
  };
}

function auditLine([id, fields]: [string, string[]]): AuditLine {
  const [, at = '0', , draft = 'null'] = fields;
  return { ...JSON.parse(draft), draft, seq: Number(id.split('-')[0]), at: Number(at) };
}

async function readFolder(folder: string): Promise<Map<string, JwkMembers> | null> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  const files = names?.filter((name) => name.endsWith('.json')) ?? [];
  const read = files.map(async (name) => [name, JSON.parse(await readFile(join(folder, name), 'utf8'))] as const);
  return names === null ? null : new Map(await Promise.all(read));
}

async function readServed(file: string): Promise<readonly JwkMembers[]> {
  return JSON.parse(await readFile(file, 'utf8')).keys;
}
