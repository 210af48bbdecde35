/** Whether this Redis keeps what it acknowledges, and how a write is confirmed to be on disk. */
import type { Redis } from 'ioredis';
import { messageOf, RekeydError } from '../errors.ts';
import { text } from './replies.ts';

export interface DurabilityOptions {
  readonly mode: 'strict' | 'relaxed';
  /** Replicas that must confirm a write too. */
  readonly replicas?: number;
  /** How long Redis may take to confirm, in ms. */
  readonly timeout?: number;
}

/** `waitaof`: confirmed write by write. `always`: every answer comes after the fsync. `none`: nothing is promised. */
export type DurabilityKind = 'waitaof' | 'always' | 'none';

export interface Finding {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
  /** What to do about it; null when `ok`. */
  readonly fix: string | null;
}

export interface Durability {
  readonly kind: DurabilityKind;
  readonly findings: readonly Finding[];
  /** What is sent behind a write, on its connection, and whether the answer is enough; null when the write's own answer says it all. */
  readonly confirmation: {
    readonly command: readonly [name: string, ...args: number[]];
    readonly enough: (counts: readonly unknown[]) => boolean;
  } | null;
}

/** What Redis says about itself; null where it does not tell (managed services often forbid CONFIG). */
interface Facts {
  readonly version: string;
  readonly server: string;
  readonly primary: boolean;
  readonly waitaof: boolean;
  readonly appendonly: boolean;
  readonly appendfsync: string | null;
  readonly maxmemoryPolicy: string;
}

/**
 * In `strict` mode every finding must be ok; in `relaxed` mode the findings that are not are warnings for the caller to log.
 * @throws RekeydError `redis_unsafe` naming every setting to change; in both modes for a version below 6.2 and for a replica
 */
export async function checkDurability(redis: Redis, options: DurabilityOptions): Promise<Durability> {
  const facts = await askFacts(redis);
  const findings = judge(facts);
  const bad = findings.filter((finding) => !finding.ok);
  // Without a primary nothing can be written and below 6.2 the scripts do not run, whatever is promised about the disk.
  const fatal = options.mode === 'strict' ? bad : bad.filter(({ name }) => name === 'version' || name === 'role');
  if (fatal.length > 0) throw unsafe(fatal);
  const kind = persistenceKind(facts);
  return { kind, findings, confirmation: confirmationOf(kind, options) };
}

/** The same findings without a verdict, for `doctor`. */
export async function inspectDurability(redis: Redis): Promise<readonly Finding[]> {
  return judge(await askFacts(redis));
}

function confirmationOf(kind: DurabilityKind, { replicas = 0, timeout = 5000 }: DurabilityOptions) {
  if (kind === 'waitaof') {
    return {
      command: ['WAITAOF', 1, replicas, timeout] as const,
      enough: ([local, remote]: readonly unknown[]) => Number(local) >= 1 && Number(remote) >= replicas,
    };
  }
  if (kind === 'always' && replicas > 0) {
    return {
      command: ['WAIT', replicas, timeout] as const,
      enough: ([remote]: readonly unknown[]) => Number(remote) >= replicas,
    };
  }
  return null;
}

function persistenceKind({ appendonly, appendfsync, waitaof }: Facts): DurabilityKind {
  if (!appendonly || appendfsync === 'no') return 'none'; // with appendfsync "no" WAITAOF never answers
  if (waitaof) return 'waitaof';
  return appendfsync === 'always' ? 'always' : 'none';
}

async function askFacts(redis: Redis): Promise<Facts> {
  const info = parseInfo(`${await redis.info('server')}\n${await redis.info('persistence')}`);
  const more = parseInfo(`${await redis.info('memory')}\n${await redis.info('replication')}`);
  const known: unknown = await redis.call('COMMAND', 'INFO', 'WAITAOF');
  return {
    version: info.get('valkey_version') ?? info.get('redis_version') ?? '0',
    server: info.get('server_name') === 'valkey' ? 'Valkey' : 'Redis',
    primary: more.get('role') !== 'slave',
    waitaof: Array.isArray(known) && Array.isArray(known[0]) && known[0].length > 0,
    appendonly: info.get('aof_enabled') === '1',
    appendfsync: await askSetting(redis, 'appendfsync'),
    maxmemoryPolicy: more.get('maxmemory_policy') ?? 'unknown',
  };
}

async function askSetting(redis: Redis, name: string): Promise<string | null> {
  try {
    const reply = await redis.config('GET', name);
    return Array.isArray(reply) && reply.length === 2 ? text(reply[1]) : null;
  } catch (error) {
    if (/unknown command|NOPERM|disabled|not allowed/i.test(messageOf(error))) return null;
    throw error;
  }
}

function parseInfo(info: string): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  for (const line of info.split(/\r?\n/)) {
    const colon = line.indexOf(':');
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1));
  }
  return fields;
}

function judge(facts: Facts): readonly Finding[] {
  return [judgeVersion(facts), judgeRole(facts), judgePersistence(facts), judgeEviction(facts)];
}

const fine = (name: string, detail: string): Finding => ({ name, ok: true, detail, fix: null });
const wrong = (name: string, detail: string, fix: string): Finding => ({ name, ok: false, detail, fix });

function judgeVersion({ server, version }: Facts): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major > 6 || (major === 6 && minor >= 2)) return fine('version', `${server} ${version}`);
  return wrong('version', `${server} ${version} is too old`, 'Use Redis 6.2 or later, or Valkey.');
}

function judgeRole({ primary }: Facts): Finding {
  if (primary) return fine('role', 'primary');
  return wrong('role', 'this is a replica: it takes no writes', 'Point redis.url at the primary.');
}

function judgePersistence(facts: Facts): Finding {
  const { appendonly, appendfsync, waitaof } = facts;
  if (!appendonly) {
    const fix = waitaof ? '' : ' and CONFIG SET appendfsync always';
    return wrong(
      'persistence',
      'appendonly is off: a crash of Redis loses what it acknowledged',
      `Run CONFIG SET appendonly yes${fix}, and put the same in the server's configuration file.`,
    );
  }
  switch (persistenceKind(facts)) {
    case 'waitaof':
      return fine('persistence', `appendonly is on (appendfsync ${appendfsync ?? 'not shown'}), confirmed by WAITAOF`);
    case 'always':
      return fine('persistence', 'appendonly is on and appendfsync is always');
    case 'none':
      return judgeFsync(appendfsync, waitaof);
  }
}

function judgeFsync(appendfsync: string | null, waitaof: boolean): Finding {
  if (waitaof) {
    return wrong(
      'persistence',
      'appendfsync is no: nothing says when a write is on disk',
      'Run CONFIG SET appendfsync everysec (or always), and put the same in the configuration file.',
    );
  }
  if (appendfsync === null) {
    return wrong(
      'persistence',
      'this server has no WAITAOF and does not show appendfsync (CONFIG is forbidden), so no write can be known to be on disk',
      'Use Redis 7.2 or later, or Valkey; or allow CONFIG GET and set appendfsync to always.',
    );
  }
  return wrong(
    'persistence',
    `appendfsync is ${appendfsync} and this server has no WAITAOF: a crash can lose the last acknowledged writes`,
    'Run CONFIG SET appendfsync always (and put it in the configuration file), or use Redis 7.2 or later, or Valkey.',
  );
}

function judgeEviction({ maxmemoryPolicy }: Facts): Finding {
  if (maxmemoryPolicy === 'noeviction') return fine('eviction', 'maxmemory-policy is noeviction');
  return wrong(
    'eviction',
    `maxmemory-policy is ${maxmemoryPolicy}: a full Redis may throw keys away`,
    "Run CONFIG SET maxmemory-policy noeviction, and put the same in the server's configuration file.",
  );
}

function unsafe(findings: readonly Finding[]): RekeydError {
  const problems = findings.map(({ detail, fix }) => `${detail}. ${fix}`).join(' ');
  const relax = findings.some(({ name }) => name === 'version' || name === 'role')
    ? ''
    : ' Or, only where losing private keys does not matter, set durability: relaxed.';
  return new RekeydError('redis_unsafe', `This Redis cannot keep private keys safe: ${problems}${relax}`);
}
