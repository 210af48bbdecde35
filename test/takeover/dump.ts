/** Reads a store and the folders beside it as {@link Fixture} members. */
import { lstat, readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import type { FolderEntry, RedisEntry, RedisValue, Text } from './restore.ts';

/** Every key, in alphabetical order. Nobody else may write meanwhile. */
export async function dumpRedis(redis: Redis): Promise<RedisEntry[]> {
  const keys = new Set<string>();
  for (let cursor = '0', done = false; !done; done = cursor === '0') {
    const [next, page] = await redis.scan(cursor, 'COUNT', 1000);
    cursor = next;
    for (const key of page) keys.add(key);
  }
  const entries: RedisEntry[] = [];
  for (const key of [...keys].sort()) {
    const expires = Number(await redis.call('PEXPIRETIME', key));
    const value = await readValue(redis, key);
    entries.push({ key, ...value, ...(expires > 0 && { pexpireat: expires }) });
  }
  return entries;
}

async function readValue(redis: Redis, key: string): Promise<RedisValue> {
  const type = await redis.type(key);
  switch (type) {
    case 'string':
      return { type, value: textOf(await redis.getBuffer(key)) };
    case 'list':
      return { type, value: (await redis.lrangeBuffer(key, 0, -1)).map(textOf) };
    case 'set':
      return { type, value: (await redis.smembers(key)).sort() };
    case 'hash': {
      const fields = Object.entries(await redis.hgetallBuffer(key)).sort(([a], [b]) => (a < b ? -1 : 1));
      return { type, value: Object.fromEntries(fields.map(([field, value]) => [field, textOf(value)])) };
    }
    case 'zset': {
      const members = await redis.zrange(key, '0', '-1');
      const scores = await Promise.all(members.map((member) => redis.zscore(key, member)));
      return { type, value: members.map((member, index) => [member, Number(scores[index])]) };
    }
    case 'stream': {
      const entries = await redis.xrangeBuffer(key, '-', '+');
      return { type, value: entries.map(([id, fields]) => [`${id}`, fields.map(textOf)]) };
    }
    default:
      throw new Error(`${key} is a ${type}`);
  }
}

function textOf(bytes: Buffer | null): Text {
  if (bytes === null) throw new Error('a key is gone');
  const text = bytes.toString('utf8');
  return Buffer.from(text, 'utf8').equals(bytes) ? text : { base64: bytes.toString('base64') };
}

/** What stands below `dir/top`, and that folder itself; paths are relative to `dir`. */
export async function dumpFolder(dir: string, top: string): Promise<FolderEntry[]> {
  const found = await lstat(join(dir, top));
  const mode = `0${(found.mode & 0o7777).toString(8)}`;
  if (found.isSymbolicLink()) return [{ path: top, link: await readlink(join(dir, top)) }];
  if (found.isFile()) return [{ path: top, text: await readFile(join(dir, top), 'utf8'), mode }];
  const entries: FolderEntry[] = [{ path: top, dir: true, mode }];
  for (const name of (await readdir(join(dir, top))).sort()) entries.push(...(await dumpFolder(dir, join(top, name))));
  return entries;
}
