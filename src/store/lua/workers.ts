import { PRELUDE } from './prelude.ts';

/** For how long a note counts, in ms: longer than a worker that lives leaves it as it is, three times over. */
const COUNTS_MS = 3 * 60_000;

/** KEYS workers. ARGV id, note. → 1. Notes that are too old go. */
export const NOTE_WORKER = `${PRELUDE}
local at = now()
for _, id in ipairs(redis.call('HKEYS', keys[1])) do
  local time = string.match(redis.call('HGET', keys[1], id) or '', '^%d+')
  if at - tonumber(time or 0) > ${COUNTS_MS} then redis.call('HDEL', keys[1], id) end
end
redis.call('HSET', keys[1], args[1], string.format('%d', at) .. ' ' .. args[2])
redis.call('PEXPIRE', keys[1], ${COUNTS_MS})
return 1
`;

/** KEYS workers. ARGV id. → 1. */
export const FORGET_WORKER = `${PRELUDE}
redis.call('HDEL', keys[1], args[1])
return 1
`;

/** KEYS workers. → the notes that count. */
export const WORKERS = `${PRELUDE}
local found, at = {}, now()
for _, value in ipairs(redis.call('HVALS', keys[1])) do
  local time, note = string.match(value, '^(%d+) (.*)$')
  if time and at - tonumber(time) <= ${COUNTS_MS} then table.insert(found, note) end
end
return found
`;
