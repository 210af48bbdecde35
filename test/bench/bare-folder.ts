/**
 * The key folder as a bare loop writes it, in threads of its own. It makes the files, links and fsyncs that the sink made on 2026-11-26, and leaves out what
 * makes a delivery safe: comparing files, other workers in the same folder, remains of a crash. It does not change with `src/deliver/`, which is measured by it.
 */
import type { KeyObject } from 'node:crypto';
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';

/** They wait for the disk most of the time. */
const THREADS = 4;

/** The same file from source and built. */
const ENTRY = new URL(`bare-folder-thread${extname(import.meta.url)}`, import.meta.url);

export interface FolderKey {
  readonly alg: string;
  readonly kid: string;
  /** The public members. */
  readonly jwk: object;
  readonly privateKey: KeyObject;
}

export interface FolderClient {
  /** Row id: the name of its folder. */
  readonly client: string;
  /** The OAuth `client_id`. */
  readonly clientId: string;
  readonly issuer: string;
}

/** The files of one delivery. */
export interface KeySet {
  /** Text by name. */
  readonly written: Readonly<Record<string, string>>;
  /** By name, the name of the file in the set before that holds the same. */
  readonly linked: Readonly<Record<string, string>>;
}

export interface Task {
  readonly folder: string;
  readonly client: string;
  /** A name that no version of this client had before. */
  readonly version: string;
  /** The version that goes; null for none. */
  readonly before: { readonly version: string; readonly names: readonly string[] } | null;
  readonly set: KeySet;
}

export interface BareFolder {
  /** Replaces the client's set; on disk when it resolves. */
  deliver(client: string, set: KeySet): Promise<void>;
  close(): Promise<void>;
}

interface Lane {
  readonly thread: Worker;
  /** In the order of their tasks, which is that of the answers. */
  readonly waiting: PromiseWithResolvers<void>[];
}

function startLane(): Lane {
  const lane: Lane = { thread: new Worker(ENTRY), waiting: [] };
  lane.thread.on('message', () => lane.waiting.shift()?.resolve());
  lane.thread.on('error', (error) => {
    for (const { reject } of lane.waiting) reject(error);
  });
  return lane;
}

/** @param folder that of an app; it exists */
export function openBareFolder(folder: string): BareFolder {
  const lanes = Array.from({ length: THREADS }, startLane);
  const present = new Map<string, NonNullable<Task['before']>>();
  let versions = 0;

  return {
    deliver(client, set) {
      versions += 1;
      const version = `${versions}`;
      const task: Task = { folder, client, version, before: present.get(client) ?? null, set };
      present.set(client, { version, names: [...Object.keys(set.written), ...Object.keys(set.linked)] });
      const lane = lanes.reduce((least, one) => (one.waiting.length < least.waiting.length ? one : least));
      const done = Promise.withResolvers<void>();
      lane.waiting.push(done);
      lane.thread.postMessage(task);
      return done.promise;
    },
    async close() {
      await Promise.all(lanes.map(({ thread }) => thread.terminate()));
    },
  };
}
