/** Puts a recorded store and its folders back. Knows nothing of rekeyd, so that any later version can use it. */
import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** A text, or bytes that are no UTF-8. */
export type Text = string | { readonly base64: string };

export type RedisValue =
  | { readonly type: 'string'; readonly value: Text }
  | { readonly type: 'list'; readonly value: readonly Text[] }
  | { readonly type: 'set'; readonly value: readonly Text[] }
  | { readonly type: 'hash'; readonly value: { readonly [field: string]: Text } }
  | { readonly type: 'zset'; readonly value: readonly (readonly [member: Text, score: number])[] }
  | { readonly type: 'stream'; readonly value: readonly (readonly [id: string, fields: readonly Text[]])[] };

/** `pexpireat` is in ms since the Unix epoch; absent: the key stays. */
export type RedisEntry = { readonly key: string; readonly pexpireat?: number } & RedisValue;

/** A folder, a link or a file below the fleet's folder. Parents come before what is in them. */
export type FolderEntry = { readonly path: string } & (
  | { readonly dir: true; readonly mode: string }
  | { readonly link: string }
  | { readonly text: string; readonly mode: string }
);

/** A client as the server holds it, without the members of its JWKs that are null. */
export interface ServerClient {
  readonly id: string;
  readonly client_id: string;
  readonly oauth_app_id: string;
  readonly [member: string]: unknown;
}

export interface ServerApp {
  readonly id: string;
  readonly slug: string;
  readonly selection: 'first_pem' | 'jwks_kid';
  readonly fqdn: string;
  readonly clients: readonly ServerClient[];
}

export interface Fixture {
  readonly made: { readonly commit: string; readonly server: string; readonly at: string; readonly ms: number };
  /** With `{dir}`, `{redis}` and `{wacht}` where the fleet's folder and the URLs of the two servers stood. */
  readonly config: { readonly [name: string]: unknown };
  readonly env: { readonly [name: string]: string };
  readonly server: readonly {
    readonly deployment: string;
    readonly apiKey: string;
    /** False: the server refuses that key. */
    readonly accepted: boolean;
    readonly apps: readonly ServerApp[];
  }[];
  readonly originals: readonly {
    readonly ref: string;
    readonly what: string;
    readonly kid: string;
    readonly alg: string;
    /** PKCS#8 PEM. */
    readonly key: string;
  }[];
  /** By client reference: the kids that the server accepts an assertion of. */
  readonly signing: { readonly [ref: string]: readonly string[] };
  readonly folders: readonly FolderEntry[];
  readonly redis: readonly RedisEntry[];
}

/** What is used of an ioredis client. */
export interface RedisLike {
  call(command: string, ...args: (string | number | Buffer)[]): Promise<unknown>;
}

/** Fills an empty Redis and the folder `dir`. A key whose time is over is gone at once, as it would be in the store that was recorded. */
export async function restoreFixture(
  { redis: entries, folders }: Pick<Fixture, 'redis' | 'folders'>,
  { redis, dir }: { readonly redis: RedisLike; readonly dir: string },
): Promise<void> {
  for (const entry of entries) {
    for (const [command, ...args] of writesOf(entry)) await redis.call(command, entry.key, ...args);
    if (entry.pexpireat !== undefined) await redis.call('PEXPIREAT', entry.key, entry.pexpireat);
  }
  for (const entry of folders) await restoreEntry(entry, join(dir, entry.path));
}

type Write = readonly [command: string, ...args: (string | number | Buffer)[]];

/** One command, but for a stream, whose entries each take their own. */
function writesOf(entry: RedisValue): readonly Write[] {
  switch (entry.type) {
    case 'string':
      return [['SET', bytesOf(entry.value)]];
    case 'list':
      return [['RPUSH', ...entry.value.map(bytesOf)]];
    case 'set':
      return [['SADD', ...entry.value.map(bytesOf)]];
    case 'hash':
      return [['HSET', ...Object.entries(entry.value).flatMap(([field, value]) => [field, bytesOf(value)])]];
    case 'zset':
      return [['ZADD', ...entry.value.flatMap(([member, score]) => [score, bytesOf(member)])]];
    case 'stream':
      return entry.value.map(([id, fields]) => ['XADD', id, ...fields.map(bytesOf)]);
    default:
      return entry satisfies never;
  }
}

function bytesOf(text: Text): string | Buffer {
  return typeof text === 'string' ? text : Buffer.from(text.base64, 'base64');
}

async function restoreEntry(entry: FolderEntry, path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  if ('link' in entry) {
    await symlink(entry.link, path);
    return;
  }
  if ('dir' in entry) await mkdir(path, { recursive: true });
  else await writeFile(path, entry.text);
  await chmod(path, Number.parseInt(entry.mode, 8)); // whatever the umask
}
