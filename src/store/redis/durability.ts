/** Whether this Redis keeps what it acknowledges, and how a write is confirmed to be on disk. */
import type { Redis } from 'ioredis';
import { RekeydError } from '../../errors.ts';
import { askFacts, type Facts } from './facts.ts';
import type { ServerGroup } from './target.ts';

export interface DurabilityOptions {
  readonly mode: 'strict' | 'relaxed';
  /** Replicas that must confirm a write too. */
  readonly replicas?: number;
  /** How long Redis may take to confirm, in ms. */
  readonly timeout?: number;
  /** What makes a replica the primary when that one is gone; null or absent: nothing that we know of. */
  readonly group?: ServerGroup['kind'] | null;
}

/** `waitaof`: confirmed write by write. `always`: every answer comes after the fsync. `none`: nothing is promised. */
export type DurabilityKind = 'waitaof' | 'always' | 'none';

export interface Requirement {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
  /** What to do about it, which is only advice when `ok`; null when there is nothing to do. */
  readonly fix: string | null;
}

export interface Durability {
  readonly kind: DurabilityKind;
  readonly requirements: readonly Requirement[];
  /** What is sent behind a write, on its connection, and whether the last answer is enough; null when the write's own answer says it all. */
  readonly confirmation: {
    readonly commands: readonly (readonly [name: string, ...args: number[]])[];
    readonly enough: (counts: readonly unknown[]) => boolean;
  } | null;
}

/**
 * In `strict` mode every requirement must be ok but the one about replicas, which come and go; in `relaxed` mode the requirements that are not are
 * warnings for the caller to log.
 * @throws RekeydError `redis_unsafe` naming every setting to change; in both modes for a version below 6.2 and for a replica
 */
export async function checkDurability(redis: Redis, options: DurabilityOptions): Promise<Durability> {
  const facts = await askFacts(redis);
  const requirements = judge(facts, options);
  const bad = requirements.filter(({ name, ok }) => !ok && name !== 'replicas');
  // Without a primary nothing can be written and below 6.2 the scripts do not run, whatever is promised about the disk.
  const fatal = options.mode === 'strict' ? bad : bad.filter(({ name }) => name === 'version' || name === 'role');
  if (fatal.length > 0) throw unsafe(fatal);
  const kind = persistenceKind(facts);
  return { kind, requirements, confirmation: confirmationOf(kind, options) };
}

/** The same requirements without a verdict, for `doctor`. */
export async function inspectDurability(
  redis: Redis,
  options: Omit<DurabilityOptions, 'mode'> = {},
): Promise<readonly Requirement[]> {
  return judge(await askFacts(redis), options);
}

function confirmationOf(kind: DurabilityKind, { replicas = 0, timeout = 5000 }: DurabilityOptions) {
  if (kind === 'waitaof') {
    // A replica answers before its fsync and then not for a second, unless it is asked again: WAIT makes that second question a later one.
    const received = replicas === 0 ? [] : [['WAIT', replicas, timeout] as const];
    return {
      commands: [...received, ['WAITAOF', 1, replicas, timeout] as const],
      enough: ([local, remote]: readonly unknown[]) => Number(local) >= 1 && Number(remote) >= replicas,
    };
  }
  if (kind === 'always' && replicas > 0) {
    return {
      commands: [['WAIT', replicas, timeout] as const],
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

function judge(facts: Facts, options: Omit<DurabilityOptions, 'mode'>): readonly Requirement[] {
  return [
    judgeVersion(facts),
    judgeRole(facts, options.group ?? null),
    judgePersistence(facts),
    judgeEviction(facts),
    ...judgeFailover(facts, options),
  ];
}

const fine = (name: string, detail: string): Requirement => ({ name, ok: true, detail, fix: null });
const wrong = (name: string, detail: string, fix: string): Requirement => ({ name, ok: false, detail, fix });

function judgeVersion({ server, version }: Facts): Requirement {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major > 6 || (major === 6 && minor >= 2)) return fine('version', `${server} ${version}`);
  return wrong('version', `${server} ${version} is too old`, 'Use Redis 6.2 or later, or Valkey.');
}

function judgeRole({ primary, clustered }: Facts, group: ServerGroup['kind'] | null): Requirement {
  if (clustered && group !== 'cluster') {
    const fix = 'List its nodes under redis.cluster instead.';
    return wrong('role', 'this is a node of a Redis Cluster, which may hand its keys to another node', fix);
  }
  if (primary) return fine('role', 'primary');
  return wrong('role', 'this is a replica: it takes no writes', 'Point redis.url at the primary.');
}

function judgePersistence(facts: Facts): Requirement {
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

function judgeFsync(appendfsync: string | null, waitaof: boolean): Requirement {
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

function judgeEviction({ maxmemoryPolicy }: Facts): Requirement {
  if (maxmemoryPolicy === 'noeviction') return fine('eviction', 'maxmemory-policy is noeviction');
  return wrong(
    'eviction',
    `maxmemory-policy is ${maxmemoryPolicy}: a full Redis may throw keys away`,
    "Run CONFIG SET maxmemory-policy noeviction, and put the same in the server's configuration file.",
  );
}

/** A replica that takes over brings what it has: whatever it had not received is gone, however well it was kept on the old primary's disk. */
function judgeFailover(
  { replicas: connected, heirs }: Facts,
  { replicas: wanted = 0, group = null }: Omit<DurabilityOptions, 'mode'>,
): readonly Requirement[] {
  if (wanted > 0) {
    const detail = `${connected} connected, and ${wanted} must confirm a write before it counts`;
    if (connected >= wanted) return [fine('replicas', detail)];
    const fix = 'Bring the replicas back, or lower redis.replicas. Until then no rotation goes on.';
    return [wrong('replicas', detail, fix)];
  }
  const fix = 'Set redis.replicas to how many replicas there are, each with appendonly yes.';
  const loss = 'may lose the last acknowledged writes, and with them the private halves of published keys';
  if (group === 'sentinels' || (heirs ?? 0) > 0) {
    return [wrong('failover', `no replica has to confirm a write, so a failover ${loss}`, fix)];
  }
  if (group === 'cluster')
    return [fine('failover', 'the node with the keys has no replica: work waits while it is away')];
  if (connected === 0) return [];
  return [
    { name: 'failover', ok: true, detail: `${connected} replicas; should one be made the primary, that ${loss}`, fix },
  ];
}

function unsafe(requirements: readonly Requirement[]): RekeydError {
  const problems = requirements.map(({ detail, fix }) => `${detail}. ${fix}`).join(' ');
  const relax = requirements.some(({ name }) => name === 'version' || name === 'role')
    ? ''
    : ' Or, only where losing private keys does not matter, set durability: relaxed.';
  return new RekeydError('redis_unsafe', `This Redis cannot keep private keys safe: ${problems}${relax}`);
}
