import { PRELUDE } from './prelude.ts';

/** What a change of the seal is built on: nobody has written a checkpoint, begun a segment or changed the key since. */
const BUILT_ON = `
local function builtOn(basis)
  local state = redis.call('HMGET', keys[1], 'checkpoint', 'segment', 'kid')
  return basis == KEYS[1] .. ' ' .. ARGV[1] .. ' ' .. (state[1] or '0') .. ' ' .. (state[2] or '1') .. ' ' .. (state[3] or '')
end
`;

/**
 * KEYS seal, audit. ARGV basis, fence, seq, hash, most, draft. → the number of the checkpoint; 0: it is built on what is no longer so, or another sealer has
 * the lease; -1: more than `most` entries came after `seq`.
 */
export const WRITE_CHECKPOINT = `${PRELUDE}${BUILT_ON}
local sealed = redis.call('HMGET', keys[1], 'seq', 'hash', 'checkpoint', 'fence')
if sealed[1] == args[3] and sealed[2] == args[4] then return tonumber(sealed[3]) end
if sealed[4] ~= args[2] or not builtOn(args[1]) then return 0 end
if tonumber(redis.call('GET', audit_size) or '0') - tonumber(args[3]) > tonumber(args[5]) then return -1 end
local checkpoint = append(keys[2], now(), 6)
redis.call('HSET', keys[1], 'seq', args[3], 'hash', args[4], 'checkpoint', checkpoint)
return checkpoint
`;

/** KEYS seal, audit, seal keys. ARGV basis, kid, jwe, public half, draft. → 1; 0: the basis is no longer so. Sent twice, it is done once. */
export const CHANGE_SEAL_KEY = `${PRELUDE}${BUILT_ON}
if redis.call('HGET', keys[1], 'kid') == args[2] then return 1 end
if not builtOn(args[1]) then return 0 end
append(keys[2], now(), 5)
redis.call('HSET', keys[3], 'jwe', args[3], 'public:' .. args[2], args[4])
redis.call('HSET', keys[1], 'kid', args[2])
return 1
`;

/** KEYS seal keys. ARGV JWE that is there, JWE that replaces it. → 1; 0: another one is there. */
export const REWRAP_SEAL_KEY = `${PRELUDE}
local known = redis.call('HGET', keys[1], 'jwe')
if known == args[2] then return 1 end
if known ~= args[1] then return 0 end
redis.call('HSET', keys[1], 'jwe', args[2])
return 1
`;

/**
 * KEYS seal, audit, seal keys. ARGV basis, hash that the chain begins with, 1 to give up the signing key, draft. → the number of the entry that begins the
 * segment; 0: the basis is no longer so. Sent twice, it is done once.
 */
export const BEGIN_SEGMENT = `${PRELUDE}${BUILT_ON}
local before = redis.call('HMGET', keys[1], 'seq', 'hash', 'begun_on', 'segment')
if before[3] == args[1] then return tonumber(before[4]) end
if not builtOn(args[1]) then return 0 end
local first = append(keys[2], now(), 4)
redis.call('HSET', keys[1], 'seq', first - 1, 'hash', args[2], 'segment', first, 'before_seq', before[1] or '0', 'before_hash', before[2] or args[2], 'begun_on', args[1])
redis.call('HDEL', keys[1], 'checkpoint')
if args[3] == '1' then
  redis.call('HDEL', keys[1], 'kid')
  redis.call('HDEL', keys[3], 'jwe')
end
return first
`;
