/**
 * Leases on work that one worker does at a time. Two kinds: in a hash, with `holder`, `held_at`, `held_ms` and the `fence` by which a script refuses the
 * holder of an earlier lease; and a string with an expiry, where no script asks who holds it.
 */
import { PRELUDE } from './prelude.ts';

/**
 * KEYS hash. ARGV holder, ms. → the number of its lease; 0: somebody else has one. The lease of a holder that comes back in time stays the same. One that was
 * given in the future is over: the clock of the server was set back.
 */
export const HOLD = `${PRELUDE}
local at = now()
local lease = redis.call('HMGET', keys[1], 'holder', 'held_at', 'held_ms', 'fence')
local fence = tonumber(lease[4] or '0')
if lease[1] ~= args[1] then
  local since = tonumber(lease[2] or '0')
  if lease[1] and since <= at and at < since + tonumber(lease[3]) then return 0 end
  fence = fence + 1
end
redis.call('HSET', keys[1], 'holder', args[1], 'held_at', string.format('%d', at), 'held_ms', args[2], 'fence', fence)
return fence
`;

/** KEYS hash. ARGV holder. → 1. */
export const LEAVE = `${PRELUDE}
if redis.call('HGET', keys[1], 'holder') == args[1] then redis.call('HDEL', keys[1], 'holder') end
return 1
`;

/** KEYS string. ARGV holder, ms. → 0 when the holder has the lease for that long from now on, else the ms until it is free. */
export const HOLD_STRING = `${PRELUDE}
local holder = redis.call('GET', keys[1])
if holder and holder ~= args[1] then return math.max(1, redis.call('PTTL', keys[1])) end
redis.call('SET', keys[1], args[1], 'PX', args[2])
return 0
`;

/** KEYS string. ARGV holder. → 1. */
export const LEAVE_STRING = `${PRELUDE}
if redis.call('GET', keys[1]) == args[1] then redis.call('DEL', keys[1]) end
return 1
`;
