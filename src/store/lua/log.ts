import { PRELUDE } from './prelude.ts';

/** For how long an operation that belongs to no client is recognised when sent twice; ioredis resends as soon as it is connected again. */
const REMEMBER_MS = 24 * 60 * 60 * 1000;

/** KEYS audit, audit size, op. ARGV drafts. → the number of the newest entry. */
export const APPEND = `${PRELUDE}
local done = redis.call('GET', KEYS[3])
if done then return tonumber(done) end
local seq = append(KEYS[1], KEYS[2], now(), 1)
redis.call('SET', KEYS[3], seq, 'PX', ${REMEMBER_MS})
return seq
`;

/** KEYS paused, audit, audit size. ARGV deployment, op, drafts. → 1 when this operation paused it, 0 when it was paused already. */
export const PAUSE = `${PRELUDE}
local by = redis.call('HGET', KEYS[1], ARGV[1])
if by then return by == ARGV[2] and 1 or 0 end
append(KEYS[2], KEYS[3], now(), 3)
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
`;

/** KEYS paused, audit, audit size, op. ARGV deployment, drafts. → 1 when this operation resumed it, 0 when it was not paused. */
export const RESUME = `${PRELUDE}
if redis.call('EXISTS', KEYS[4]) == 1 then return 1 end
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
append(KEYS[2], KEYS[3], now(), 2)
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('SET', KEYS[4], 1, 'PX', ${REMEMBER_MS})
return 1
`;
