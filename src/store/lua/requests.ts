import { PRELUDE, REMEMBER_MS } from './prelude.ts';

/**
 * How long approvals are kept, in ms. A request that was approved may wait for an API that is away, and looks at its approvals at every try: without them it
 * would end half-way.
 */
const APPROVED_MS = 30 * REMEMBER_MS;

/** KEYS approvals of a request, audit, op. ARGV approval, drafts. → 1. */
export const APPROVE = `${PRELUDE}
if redis.call('EXISTS', keys[3]) == 1 then return 1 end
append(keys[2], now(), 2)
redis.call('SADD', keys[1], args[1])
redis.call('PEXPIRE', keys[1], ${APPROVED_MS})
redis.call('SET', keys[3], 1, 'PX', ${REMEMBER_MS})
return 1
`;

/** KEYS reported. ARGV how long they are remembered in ms, how many may be noted together, references with blanks between them. → how many they are together. */
export const NOTE_REPORTED = `${PRELUDE}
local at = now()
redis.call('ZREMRANGEBYSCORE', keys[1], '-inf', at - args[1])
local together = redis.call('ZCARD', keys[1])
for ref in args[3]:gmatch('%S+') do
  if not redis.call('ZSCORE', keys[1], ref) then together = together + 1 end
end
if together > tonumber(args[2]) then return together end
for ref in args[3]:gmatch('%S+') do redis.call('ZADD', keys[1], at, ref) end
return together
`;

/** KEYS targets of a request. ARGV targets. → 1. */
export const NOTE_TARGETS = `${PRELUDE}
redis.call('SET', keys[1], args[1], 'PX', ${REMEMBER_MS})
return 1
`;
