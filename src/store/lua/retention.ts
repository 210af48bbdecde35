import { PRELUDE } from './prelude.ts';

/** KEYS retention. ARGV fence, field, what it holds ('' for nothing), what it is to hold ('' to remove it). → 1; 0: it holds something else, or another worker has the lease. */
export const NOTE_EXPORT = `${PRELUDE}
local held = redis.call('HGET', keys[1], args[2]) or ''
if held == args[4] then return 1 end
if redis.call('HGET', keys[1], 'fence') ~= args[1] or held ~= args[3] then return 0 end
if args[4] == '' then redis.call('HDEL', keys[1], args[2]) else redis.call('HSET', keys[1], args[2], args[4]) end
return 1
`;

/**
 * KEYS retention, audit, seal. ARGV fence, number, fields of the exports. → how many entries were cut; -1: something that must have them first has not: the
 * lease is another worker's, a checkpoint does not cover them, or an export has not come so far. What a webhook still needs only rises, so the caller asks.
 */
export const CUT = `${PRELUDE}
local to = tonumber(args[2])
if redis.call('HGET', keys[1], 'fence') ~= args[1] then return -1 end
if tonumber(redis.call('HGET', keys[3], 'seq') or '0') < to or #args < 3 then return -1 end
for i = 3, #args do
  local told = redis.call('HGET', keys[1], args[i])
  if not told or cjson.decode(told).seq < to then return -1 end
end
return redis.call('XTRIM', keys[2], 'MINID', (to + 1) .. '-0')
`;
