import { PRELUDE, REMEMBER_MS } from './prelude.ts';

/**
 * KEYS tokens, audit, op. ARGV the list that is there ('' for none), the list that replaces it, drafts.
 * → 1 when this operation replaced it, 0 when another list is there by now.
 */
export const REPLACE_TOKENS = `${PRELUDE}
if redis.call('EXISTS', keys[3]) == 1 then return 1 end
if (redis.call('GET', keys[1]) or '') ~= args[1] then return 0 end
append(keys[2], now(), 3)
redis.call('SET', keys[1], args[2])
redis.call('SET', keys[3], 1, 'PX', ${REMEMBER_MS})
return 1
`;
