/** A lease on work that one worker does at a time, in a hash: `holder`, `held_at`, `held_ms`, and the `fence` that tells one lease from the next. */
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
