/** The files that a Redis server lives on. They are touched only while it is not running, or stands still. */
import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Redis } from 'ioredis';
import type { RedisServer } from '../../support/redis.ts';

/** Its append-only files. */
export function dataFolder({ socketPath }: RedisServer): string {
  return join(dirname(socketPath), 'appendonlydir');
}

/** As it is now: a copy of its append-only files into the folder `to`. */
export function copyLog(redis: RedisServer, to: string): void {
  redis.pause();
  try {
    cpSync(dataFolder(redis), to, { recursive: true });
  } finally {
    redis.resume();
  }
}

/** The same by way of a snapshot (RDB), as backups are often made. */
export async function copySnapshot(redis: RedisServer, to: string): Promise<void> {
  const connection = new Redis({ path: redis.socketPath });
  await connection.save();
  connection.disconnect();
  const base = 'appendonly.aof.1.base.rdb';
  mkdirSync(to);
  cpSync(join(dirname(redis.socketPath), 'dump.rdb'), join(to, base));
  writeFileSync(join(to, 'appendonly.aof.manifest'), `file ${base} seq 1 type b\n`);
}

/** Puts a copy in place of what is there, which is kept. */
export function putInPlace(redis: RedisServer, copy: string): void {
  renameSync(dataFolder(redis), keptFolder(redis));
  cpSync(copy, dataFolder(redis), { recursive: true });
}

/** Puts back what was kept. */
export function putBack(redis: RedisServer): void {
  rmSync(dataFolder(redis), { recursive: true });
  renameSync(keptFolder(redis), dataFolder(redis));
}

function keptFolder(redis: RedisServer): string {
  return `${dataFolder(redis)}.kept`;
}

const FLUSH = Buffer.from('*1\r\n$8\r\nFLUSHALL\r\n');

/** Cuts the append-only file off where everything was deleted: all that was written before is there again, and nothing else. */
export function undoFlush(log: string): void {
  const at = readFileSync(log).lastIndexOf(FLUSH);
  if (at === -1) throw new Error('nobody emptied this store');
  truncateSync(log, at);
}
