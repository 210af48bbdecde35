/** A person declares that a store is lost: the one that is there replaces it, and its audit log begins a new segment. */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { AuditDraft } from '../core/audit.ts';
import { parseReference } from '../core/client.ts';
import { RekeydError } from '../errors.ts';
import { inParallel } from '../parallel.ts';
import { type Marker, readFacts, whyLost, writeMarker } from './identity.ts';
import type { StoreKeys } from './keys.ts';
import { integer } from './redis/replies.ts';

/**
 * KEYS id, predecessors, audit, audit size, seal. ARGV id of the present store ('' for none), new id, draft, lost ids.
 * → the number of the entry; 0 when the store has another id by now.
 */
const DECLARE = `
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
local time = redis.call('TIME')
local seq = redis.call('INCR', KEYS[4])
redis.call('XADD', KEYS[3], seq .. '-0', 'at', time[1] * 1000 + math.floor(time[2] / 1000), 'draft', ARGV[3])
for i = 4, #ARGV do redis.call('RPUSH', KEYS[2], ARGV[i]) end
redis.call('HSET', KEYS[5], 'segment', seq)
redis.call('SET', KEYS[1], ARGV[2])
return seq
`;

/** KEYS record, open. ARGV reference, claim. A worker that stood still since before is fenced off by the claim. */
const DOUBT = `
redis.call('HSET', KEYS[1], 'doubted', 1, 'claim', ARGV[2])
redis.call('SADD', KEYS[2], ARGV[1])
`;

/** What this store knows of its clients may be outdated: the next worker looks at the server first. No worker uses the store meanwhile. */
async function doubtRecords(redis: Redis, keys: StoreKeys): Promise<void> {
  const [refs, found, offered] = await Promise.all([
    redis.zrange(keys.clients, '0', '-1'),
    redis.smembers(keys.found),
    redis.smembers(keys.offered),
  ]);
  // Found clients have no key of ours, except those that are offered one: their servers may show it, and their applications may use it by now.
  const withoutOurs = new Set(found);
  for (const ref of offered) withoutOurs.delete(ref);
  const known = refs.filter((ref) => !withoutOurs.has(ref)).map(parseReference);
  await inParallel(known, LANES, async (ref) => {
    await redis.eval(DOUBT, 2, keys.record(ref), keys.open, ref, randomUUID());
  });
}

/** Clients that are marked at the same time. */
const LANES = 16;

/**
 * Gives the present store a new id, and notes which stores it replaces: workers elsewhere take it up by themselves.
 * @returns the new id
 * @throws RekeydError `usage` when nothing is lost
 */
export async function declareLoss(
  redis: Redis,
  keys: StoreKeys,
  dataDir: string,
  marker: Marker | null,
  cause: Pick<AuditDraft, 'actor' | 'claimed_by' | 'reason'>,
): Promise<string> {
  const facts = await readFacts(redis, keys);
  const why = whyLost(marker, facts);
  if (marker === null || why === null) {
    throw new RekeydError(
      'usage',
      'Nothing is lost: this is the store that was there before. There is nothing to declare.',
    );
  }
  await doubtRecords(redis, keys);
  const id = randomUUID();
  const data = { store: id, lost: marker.id, lost_size: marker.size, found: facts.id, found_size: facts.size, why };
  const draft: AuditDraft = { type: 'store.segment', client: null, rotation: null, ...cause, data };
  const lostIds = [...new Set([marker.id, ...(facts.id === null ? [] : [facts.id])])];
  const touched = [keys.id, keys.predecessors, keys.audit, keys.auditSize, keys.seal];
  const args = [facts.id ?? '', id, JSON.stringify(draft), ...lostIds];
  const seq = integer(await redis.eval(DECLARE, touched.length, ...touched, ...args));
  if (seq === 0) throw new RekeydError('store_conflict', 'Another command has declared the loss just now.');
  await writeMarker(dataDir, { id, clients: facts.clients, size: seq });
  return id;
}
