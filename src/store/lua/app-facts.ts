import { PRELUDE, REMEMBER_MS } from './prelude.ts';

/** KEYS app. ARGV field, text. → 1. */
export const NOTE_FACT = `${PRELUDE}
redis.call('HSET', keys[1], args[1], string.format('%d', now()) .. ' ' .. args[2])
return 1
`;

/** What was seen before a probe counts no longer. KEYS app, audit, op. ARGV findings, drafts. → 1. */
export const STORE_FINDINGS = `${PRELUDE}
if redis.call('EXISTS', keys[3]) == 1 then return 1 end
append(keys[2], now(), 2)
redis.call('HSET', keys[1], 'findings', args[1])
redis.call('HDEL', keys[1], 'failed', 'overlap')
redis.call('SET', keys[3], 1, 'PX', ${REMEMBER_MS})
return 1
`;
