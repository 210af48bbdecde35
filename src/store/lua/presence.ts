import { PRELUDE } from './prelude.ts';

/** A service that says nothing for this long, in ms, is gone. */
const GONE_MS = 15_000;

/**
 * KEYS presence, reload. ARGV the service, what it says of itself. → {id, actor, reason, claim} of the newest wish for a reload; all '' when there was none.
 * Services that are gone are forgotten on the way.
 */
export const BE_PRESENT = `${PRELUDE}
local at = now()
local known = redis.call('HGETALL', keys[1])
for i = 1, #known, 2 do
  if at - tonumber(string.match(known[i + 1], '^%d+')) > ${GONE_MS} then redis.call('HDEL', keys[1], known[i]) end
end
redis.call('HSET', keys[1], args[1], string.format('%d', at) .. ':' .. args[2])
local wish = redis.call('HMGET', keys[2], 'id', 'actor', 'reason', 'claim')
return {wish[1] or '', wish[2] or '', wish[3] or '', wish[4] or ''}
`;

/** KEYS presence. ARGV the service. → 1. */
export const LEAVE = `${PRELUDE}
redis.call('HDEL', keys[1], args[1])
return 1
`;

/** KEYS reload. ARGV id, actor, reason, claim. → 1. */
export const WISH_RELOAD = `${PRELUDE}
redis.call('HSET', keys[1], 'id', args[1], 'actor', args[2], 'reason', args[3], 'claim', args[4])
return 1
`;

/** KEYS presence. → {service, what it said, when, …} of those that are not gone. */
export const PRESENT = `${PRELUDE}
local at, found, known = now(), {}, redis.call('HGETALL', keys[1])
for i = 1, #known, 2 do
  local said, about = string.match(known[i + 1], '^(%d+):(.*)$')
  if at - tonumber(said) <= ${GONE_MS} then
    table.insert(found, known[i])
    table.insert(found, about)
    table.insert(found, tonumber(said))
  end
end
return found
`;
