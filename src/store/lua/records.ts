import { PRELUDE } from './prelude.ts';

/** KEYS record → {record, version, epoch, now}, or nil. */
export const LOAD = `${PRELUDE}
local held = redis.call('HMGET', KEYS[1], 'record', 'version', 'epoch')
if not held[1] then return false end
return {held[1], held[2], held[3], now()}
`;

/**
 * KEYS record. ARGV who claims ('' for whoever), for how long in ms. → {record, version, epoch, now}, nil, or 'held' while somebody else holds it.
 * The epoch is the time of the claim, pushed forward when it would repeat: were it a
 * counter, a claim lost in a crash of Redis would be given out a second time, and two workers would hold the same one.
 */
export const CLAIM = `${PRELUDE}
local held = redis.call('HMGET', KEYS[1], 'record', 'version', 'epoch', 'holder', 'until')
if not held[1] then return false end
local at = now()
local free = (held[4] or '') == '' or held[4] == ARGV[1] or at >= tonumber(held[5])
if ARGV[1] ~= '' and not free then return 'held' end
local epoch = math.max(held[3] + 1, at)
redis.call('HSET', KEYS[1], 'epoch', epoch, 'holder', ARGV[1], 'until', at + ARGV[2])
return {held[1], held[2], epoch, at}
`;

/** KEYS record. ARGV holder. → 1 when it was held by them. */
export const RELEASE = `
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'holder', '')
return 1
`;

/**
 * KEYS record, sealed, clients, due, open, audit, audit size, seen.
 * ARGV op, expected version ('' for a new client), expected epoch, record, due ('' for none), open (1 or 0), reference, number of sealed
 * keys, number of erased keys, what was seen; then kid and JWE of each sealed key, the erased kids, the audit drafts.
 * → {'done', version, now}, {'conflict'} or {'fenced'}.
 *
 * ioredis may send a command again after a reconnect. The second time finds its own op, answers as the first time did, and writes a
 * byte, because WAITAOF on the new connection waits only for what that connection wrote.
 */
export const COMMIT = `${PRELUDE}
local record, sealed, clients, due, open, log, size, seen = unpack(KEYS)
local held = redis.call('HMGET', record, 'version', 'epoch', 'op', 'at')
if held[3] == ARGV[1] then
  redis.call('HINCRBY', record, 'touched', 1)
  return {'done', tonumber(held[1]), tonumber(held[4])}
end
if ARGV[2] == '' then
  if held[1] then return {'conflict'} end
else
  if not held[1] then return {'conflict'} end
  if held[2] ~= ARGV[3] then return {'fenced'} end
  if held[1] ~= ARGV[2] then return {'conflict'} end
end

local at = now()
local version = (held[1] or 0) + 1
local ref = ARGV[7]
local sealing = 11
local erasing = sealing + 2 * ARGV[8]
local drafts = erasing + ARGV[9]

append(log, size, at, drafts)
for i = sealing, erasing - 1, 2 do redis.call('HSET', sealed, ARGV[i], ARGV[i + 1]) end
redis.call('HSET', record, 'record', ARGV[4], 'version', version, 'epoch', held[2] or 0, 'op', ARGV[1], 'at', at)
for i = erasing, drafts - 1 do redis.call('HDEL', sealed, ARGV[i]) end
redis.call('ZADD', clients, 0, ref)
redis.call('HSET', seen, ref, ARGV[10])
if ARGV[5] == '' then redis.call('ZREM', due, ref) else redis.call('ZADD', due, ARGV[5], ref) end
redis.call(ARGV[6] == '1' and 'SADD' or 'SREM', open, ref)
return {'done', version, at}
`;

/**
 * KEYS record. ARGV version. → 1 when the record is at least that far, else 0. It writes a byte, because WAITAOF waits only for what its own connection
 * wrote; what was written before that is then on disk too.
 */
export const CONFIRM = `
if tonumber(redis.call('HGET', KEYS[1], 'version') or 0) < tonumber(ARGV[1]) then return 0 end
redis.call('HINCRBY', KEYS[1], 'touched', 1)
return 1
`;

/** KEYS sealed. ARGV kid, old JWE, new JWE. → 1 when the new one stands (also when sent twice), 0 when another was found. */
export const REPLACE_SEALED = `
local held = redis.call('HGET', KEYS[1], ARGV[1])
if held ~= ARGV[2] and held ~= ARGV[3] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
`;
