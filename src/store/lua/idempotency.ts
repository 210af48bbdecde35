import { PRELUDE, REMEMBER_MS } from './prelude.ts';

/** KEYS string. ARGV value. → the value that is there now: the first one stays. */
export const KEEP = `${PRELUDE}
local kept = redis.call('GET', keys[1])
if kept then return kept end
redis.call('SET', keys[1], args[1], 'PX', ${REMEMBER_MS})
return args[1]
`;
