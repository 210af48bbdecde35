import { PRELUDE, REMEMBER_MS } from './prelude.ts';

/** KEYS touched. → the number of the newest entry. It writes a byte, because WAITAOF waits only for what its own connection wrote. */
export const SEEN = `${PRELUDE}
redis.call('INCR', keys[1])
return tonumber(redis.call('GET', audit_size) or '0')
`;

/** KEYS audit, op. ARGV drafts. → the number of the newest entry. */
export const APPEND = `${PRELUDE}
local done = redis.call('GET', keys[2])
if done then return tonumber(done) end
local seq = append(keys[1], now(), 1)
redis.call('SET', keys[2], seq, 'PX', ${REMEMBER_MS})
return seq
`;
