import { PRELUDE, REMEMBER_MS } from './prelude.ts';

/** KEYS pauses, audit, op. ARGV scope, pause, drafts. → 1. A pause of the same scope is replaced. */
export const BEGIN_PAUSE = `${PRELUDE}
if redis.call('EXISTS', keys[3]) == 1 then return 1 end
append(keys[2], now(), 3)
redis.call('HSET', keys[1], args[1], args[2])
redis.call('SET', keys[3], 1, 'PX', ${REMEMBER_MS})
return 1
`;

/**
 * KEYS pauses, audit, op. ARGV scope, the pause that is meant ('' for whichever there is), drafts.
 * → 1 when this operation ended it, 0 when there was none, or another one.
 */
export const END_PAUSE = `${PRELUDE}
if redis.call('EXISTS', keys[3]) == 1 then return 1 end
local held = redis.call('HGET', keys[1], args[1])
if not held or (args[2] ~= '' and held ~= args[2]) then return 0 end
append(keys[2], now(), 3)
redis.call('HDEL', keys[1], args[1])
redis.call('SET', keys[3], 1, 'PX', ${REMEMBER_MS})
return 1
`;
