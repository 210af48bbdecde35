import { PRELUDE } from './prelude.ts';

/**
 * A wave is a hash: `id`, `phase`, `at`, `found`, `first`, `active`, `forgiven`; `why` and `stopped_by` while it is stopped. Beside it stand three sets of
 * clients: its cohort, those of the cohort that have not ended (waiting), and those of the whole wave that failed. COMMIT in {@link ./records.ts} counts what rotations come to.
 */

/** KEYS wave, cohort, waiting, failed. → {id, phase, at, found, first, chosen, waiting, active, failed, forgiven, why or '', now}, or nil. */
export const WAVE = `${PRELUDE}
local held = redis.call('HMGET', keys[1], 'id', 'phase', 'at', 'found', 'first', 'active', 'forgiven', 'why')
if not held[1] then return false end
local chosen, waiting, failed = redis.call('SCARD', keys[2]), redis.call('SCARD', keys[3]), redis.call('SCARD', keys[4])
return {held[1], held[2], held[3], held[4], held[5], chosen, waiting, held[6] or 0, failed, held[7] or 0, held[8] or '', now()}
`;

/** KEYS wave, cohort, waiting, failed. ARGV id, found, first. → 1. A wave that is there already stays. */
export const BEGIN_WAVE = `${PRELUDE}
if redis.call('EXISTS', keys[1]) == 1 then return 1 end
redis.call('DEL', keys[2], keys[3], keys[4])
redis.call('HSET', keys[1], 'id', args[1], 'phase', 'cohort', 'at', now(), 'found', args[2], 'first', args[3])
return 1
`;

/** KEYS wave, cohort, waiting. ARGV id, clients. → how many clients the cohort has now. Never more than `first`, also when two workers choose at once. `at` is when the last one was chosen. */
export const CHOOSE = `${PRELUDE}
local held = redis.call('HMGET', keys[1], 'id', 'phase', 'first')
if held[1] == args[1] and held[2] == 'cohort' then
  for i = 2, #args do
    if redis.call('SCARD', keys[2]) >= tonumber(held[3]) then break end
    if redis.call('SADD', keys[2], args[i]) == 1 then
      redis.call('SADD', keys[3], args[i])
      redis.call('HSET', keys[1], 'at', now())
    end
  end
end
return redis.call('SCARD', keys[2])
`;

/** KEYS wave, waiting. ARGV id, clients that nothing is to be learned of. → 1. */
export const LEAVE_WAVE = `${PRELUDE}
if redis.call('HGET', keys[1], 'id') ~= args[1] then return 1 end
for i = 2, #args do redis.call('SREM', keys[2], args[i]) end
return 1
`;

/** KEYS wave. ARGV id. → 1 when the others may be begun, 0 when it is stopped or gone. */
export const FOLLOW = `${PRELUDE}
local held = redis.call('HMGET', keys[1], 'id', 'phase')
if held[1] ~= args[1] or held[2] == 'stopped' then return 0 end
redis.call('HSET', keys[1], 'phase', 'rest')
return 1
`;

/** KEYS wave, audit. ARGV op, id, why, drafts. → 1 when this operation stopped it, else 0. */
export const STOP_WAVE = `${PRELUDE}
local held = redis.call('HMGET', keys[1], 'id', 'phase', 'stopped_by')
if held[1] ~= args[2] then return 0 end
if held[2] == 'stopped' then return held[3] == args[1] and 1 or 0 end
append(keys[2], now(), 4)
redis.call('HSET', keys[1], 'phase', 'stopped', 'why', args[3], 'stopped_by', args[1])
return 1
`;

/** KEYS wave, failed, audit. ARGV op, drafts. → 1 when this operation resumed it, 0 when it was not stopped. */
export const RESUME_WAVE = `${PRELUDE}
local held = redis.call('HMGET', keys[1], 'phase', 'resumed_by')
if held[2] == args[1] then return 1 end
if held[1] ~= 'stopped' then return 0 end
append(keys[3], now(), 2)
redis.call('HSET', keys[1], 'phase', 'rest', 'resumed_by', args[1], 'forgiven', redis.call('SCARD', keys[2]))
redis.call('HDEL', keys[1], 'why', 'stopped_by')
return 1
`;

/** KEYS wave, cohort, waiting, failed. ARGV id. → 1. Not a wave that was stopped meanwhile. */
export const END_WAVE = `${PRELUDE}
local held = redis.call('HMGET', keys[1], 'id', 'phase')
if held[1] == args[1] and held[2] ~= 'stopped' then redis.call('DEL', keys[1], keys[2], keys[3], keys[4]) end
return 1
`;
