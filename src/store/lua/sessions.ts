import { PRELUDE, REMEMBER_MS } from './prelude.ts';

/**
 * KEYS session, sessions of its token, audit, op, then sessions that end for it. ARGV the session, its name, how long it lives in ms, the names of the
 * sessions that end (separated by blanks), drafts. → 1.
 */
export const BEGIN_SESSION = `${PRELUDE}
if redis.call('EXISTS', keys[4]) == 1 then return 1 end
local at = now()
append(keys[3], at, 5)
redis.call('ZREMRANGEBYSCORE', keys[2], '-inf', at)
for i = 5, #keys do redis.call('DEL', keys[i]) end
for name in args[4]:gmatch('%S+') do redis.call('ZREM', keys[2], name) end
redis.call('SET', keys[1], args[1], 'PX', args[3])
redis.call('ZADD', keys[2], at + args[3], args[2])
redis.call('PEXPIRE', keys[2], args[3])
redis.call('SET', keys[4], 1, 'PX', ${REMEMBER_MS})
return 1
`;

/** KEYS session, sessions of its token, audit, op. ARGV its name, drafts. → 1 when this operation ended it, 0 when there was none. */
export const END_SESSION = `${PRELUDE}
if redis.call('EXISTS', keys[4]) == 1 then return 1 end
if redis.call('EXISTS', keys[1]) == 0 then return 0 end
append(keys[3], now(), 2)
redis.call('DEL', keys[1])
redis.call('ZREM', keys[2], args[1])
redis.call('SET', keys[4], 1, 'PX', ${REMEMBER_MS})
return 1
`;

/** KEYS texts of a session. ARGV a text, how long all of them live in ms, how many are kept. → 1. Run twice, it keeps the text twice. */
export const KEEP_TEXT = `${PRELUDE}
redis.call('LPUSH', keys[1], args[1])
redis.call('LTRIM', keys[1], 0, args[3] - 1)
redis.call('PEXPIRE', keys[1], args[2])
return 1
`;
