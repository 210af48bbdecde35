/** The embedded store: a Redis of our own, shared by the service and the commands that run beside it, ended by the last that leaves. */
import { randomUUID } from 'node:crypto';
import { chmod } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Redis } from 'ioredis';
import { hasCode } from '../../errors.ts';
import { inDataDir } from '../../files/data-dir.ts';
import { ensureFolder } from '../../files/folder.ts';
import { connectRedis } from '../redis/connection.ts';
import { isAlive, withLock } from './lock.ts';
import { findServer, type ServerProcess, startServer, untilGone } from './server.ts';

export interface Embedded {
  readonly socketPath: string;
  readonly serverPid: number;
  /** Nobody else was using the server when we came: we started it, or found it orphaned. */
  readonly owned: boolean;
  /** Leaves, and shuts the server down when nobody else uses it. Twice returns the same promise. */
  close(): Promise<void>;
}

export interface EmbeddedOptions {
  readonly dataDir: string;
  /** Where the server's program is looked for, as in PATH. */
  readonly searchPath: string;
}

/** Who uses the server says so by the name of one connection each, which the kernel closes even for the killed. */
const HOLDER = 'rekeyd-embedded';

/**
 * Uses the server that runs over the data in `dataDir`, or starts one. While open, a server that dies is started again.
 * @throws RekeydError `redis_unreachable` when no server is installed or it does not start; `config` when `dataDir` cannot be used
 */
export function openEmbedded({ dataDir, searchPath }: EmbeddedOptions): Promise<Embedded> {
  const folder = resolve(dataDir);
  return inDataDir(folder, () => openIn(join(folder, 'redis'), searchPath));
}

async function openIn(dir: string, searchPath: string): Promise<Embedded> {
  await ensureFolder(dir, 0o700);
  await chmod(dir, 0o700);
  const name = `${HOLDER}:${process.pid}:${randomUUID()}`;

  return withLock(dir, async () => {
    const server = (await findServer(dir)) ?? (await startServer(dir, searchPath));
    const { socketPath } = server;
    const holder = await connectRedis({ socketPath }, { name });
    const owned = (await otherHolders(holder, name)) === 0;
    const release = keepRunning(dir, searchPath, holder);
    let closed: Promise<void> | undefined;
    return {
      ...server,
      owned,
      close() {
        closed ??= release().then(() => withLock(dir, () => leave(dir, name)));
        return closed;
      },
    };
  });
}

/** Starts the server again when it dies. Resolves the returned function when it no longer will. */
function keepRunning(dir: string, searchPath: string, holder: Redis): () => Promise<void> {
  let released = false;
  let reviving: Promise<unknown> | null = null;
  // Comes with every failed attempt to reconnect too, so a start that fails is tried again with ioredis's backoff.
  holder.on('close', () => {
    if (released) return;
    reviving ??= withLock(dir, async () => (await findServer(dir)) ?? startServer(dir, searchPath))
      .catch(() => {}) // its log says why; the connections in use report that the server is away
      .finally(() => {
        reviving = null;
      });
  });
  return async () => {
    released = true;
    holder.disconnect();
    await reviving;
  };
}

/** Done over a connection of its own with a deadline, so that a server that hangs cannot keep us. */
async function leave(dir: string, name: string): Promise<void> {
  const server = await findServer(dir);
  if (server === null) return;
  try {
    const redis = await connectRedis({ socketPath: server.socketPath }, { name: 'rekeyd-leaving' });
    if ((await otherHolders(redis, name)) > 0) redis.disconnect();
    else await shutDown(redis, server);
  } catch (error) {
    if (!hasCode(error, 'redis_unreachable')) throw error;
  }
}

async function shutDown(redis: Redis, server: ServerProcess): Promise<void> {
  // Without an answer: the server closes the connection instead.
  redis.shutdown().catch(() => {});
  await untilGone(server);
  redis.disconnect();
}

/** Live processes that hold the server open, ours through other handles included. A killed one may be listed until Redis notices. */
async function otherHolders(redis: Redis, own: string): Promise<number> {
  const clients = String(await redis.client('LIST'));
  const holders = [...clients.matchAll(new RegExp(`name=(${HOLDER}:(\\d+):\\S+)`, 'g'))];
  return holders.filter(([, name, pid]) => name !== own && isAlive(Number(pid))).length;
}
