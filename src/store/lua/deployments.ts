import { PRELUDE, REMEMBER_MS } from './prelude.ts';

/** While a deployment is paused or throttled, something urgent may still ask this often, in ms. */
const URGENT_EVERY_MS = 5_000;

/** A paused deployment is tried after this time, in ms, then after twice that, and so on up to the longest. */
const FIRST_TRY_MS = 5_000;
const LONGEST_TRY_MS = 60_000;

/** Calls that wait for the bucket line up to this far ahead, in ms. */
const LONGEST_LINE_MS = 60_000;

/** Reading the list of an app takes one part in so many of the time. At first it may take so many ms at once. */
const LIST_PARTS = 50;
const LIST_BURST_MS = 1_000;

/** A list rests no longer than this, in ms. */
const LIST_REST_MS = 60 * 60_000;

/** After so many clients in a row with a refused PATCH, the API key itself counts as refused. */
const REFUSED_IN_A_ROW = 3;

/** After this time, in ms, a refusal is no longer one in a row. */
const REFUSED_FOR_MS = 300_000;

/** How many calls a bucket holds at `at` that held `tokens` at `since`. */
const FILLED = `
local function filled(at, tokens, since, max, per)
  return math.min(max, tonumber(tokens or max) + math.max(0, at - tonumber(since or at)) * max / per)
end
`;

/**
 * The API budget of one deployment: a bucket that holds `max` calls and fills with `max` in `per` ms. KEYS deployment. ARGV max, per, urgent (1 or 0).
 * → {'go' | 'try', 1 when somebody should hear whether the call succeeds, else 0} or {'wait' | 'paused' | 'throttled', ms until it is worth asking again}.
 *
 * Something urgent does not wait for the bucket: it takes from what comes later. While the deployment is paused or throttled one call in a while is let
 * through as a try, to see whether that is over.
 */
export const TAKE = `${PRELUDE}${FILLED}
local deployment, at = keys[1], now()
local max, per, urgent = tonumber(args[1]), tonumber(args[2]), args[3] == '1'
local held = redis.call('HMGET', deployment, 'tokens', 'at', 'until', 'urgent_at', 'paused_by', 'try_at', 'try_every', 'next', 'refused', 'limited')
local watched = (held[5] or held[9] or held[10]) and 1 or 0

local function through(field, every)
  redis.call('HSET', deployment, field, at + every)
  return {'try', 1}
end

local wished, urgent_at = tonumber(held[3] or '0'), tonumber(held[4] or '0')
if held[5] then
  local try_at = math.max(tonumber(held[6] or '0'), wished)
  if at >= try_at then
    local every = tonumber(held[7] or '${FIRST_TRY_MS}')
    redis.call('HSET', deployment, 'try_every', math.min(every * 2, ${LONGEST_TRY_MS}))
    return through('try_at', every)
  end
  if urgent and at >= urgent_at then return through('urgent_at', ${URGENT_EVERY_MS}) end
  return {'paused', (urgent and math.min(try_at, urgent_at) or try_at) - at}
end
if at < wished then
  if urgent and at >= urgent_at then return through('urgent_at', ${URGENT_EVERY_MS}) end
  return {'throttled', (urgent and math.min(wished, urgent_at) or wished) - at}
end

local tokens = filled(at, held[1], held[2], max, per)
if tokens >= 1 or (urgent and tokens > -max) then
  redis.call('HSET', deployment, 'tokens', tokens - 1, 'at', at)
  return {'go', watched}
end
-- Those that wait come back one after the other, not all at once.
local soonest = at + (1 - tokens) * per / max
local turn = math.max(soonest, tonumber(held[8] or '0') + per / max)
-- A long line begins anew: its end must not be hours away.
if turn > at + ${LONGEST_LINE_MS} then turn = soonest end
redis.call('HSET', deployment, 'tokens', tokens, 'at', at, 'next', turn)
return {'wait', math.ceil(turn - at)}
`;

/** KEYS deployment, audit. ARGV ms, drafts. → 1 when it was not throttled before. The bucket is empty then, and one call tries first. */
export const THROTTLE = `${PRELUDE}
local at = now()
local before = tonumber(redis.call('HGET', keys[1], 'until') or '0')
local wished = at + args[1]
if before <= at then append(keys[2], at, 2) end
redis.call('HSET', keys[1], 'until', math.max(before, wished), 'tokens', 1, 'at', math.max(before, wished), 'urgent_at', at + ${URGENT_EVERY_MS})
return before <= at and 1 or 0
`;

/** KEYS deployment, audit. ARGV op, why, drafts. → 1 when this operation paused it, 0 when it was paused already. */
export const PAUSE = `${PRELUDE}
local by = redis.call('HGET', keys[1], 'paused_by')
if by then return by == args[1] and 1 or 0 end
local at = now()
append(keys[2], at, 3)
redis.call('HSET', keys[1], 'paused_by', args[1], 'why', args[2], 'try_at', at + ${FIRST_TRY_MS}, 'try_every', ${2 * FIRST_TRY_MS}, 'urgent_at', at)
return 1
`;

/**
 * Notes that a PATCH of this client was turned down. KEYS deployment. ARGV client, field: by what. → 1 when that many different clients in a row were.
 */
export const REFUSED = `${PRELUDE}
local at, field = now(), args[2]
local row = {}
for client, time in string.gmatch(redis.call('HGET', keys[1], field) or '', '(%S+)@(%d+)') do
  if client ~= args[1] and at - tonumber(time) < ${REFUSED_FOR_MS} then table.insert(row, client .. '@' .. time) end
end
table.insert(row, args[1] .. '@' .. string.format('%d', at))
while #row > ${REFUSED_IN_A_ROW} do table.remove(row, 1) end
redis.call('HSET', keys[1], field, table.concat(row, ' '))
return #row >= ${REFUSED_IN_A_ROW} and 1 or 0
`;

/**
 * The API took a call with this key: refusals are no longer in a row, and a pause is over. KEYS deployment, audit, op. ARGV drafts.
 * → 1 when this operation ended a pause, 0 when there was none.
 */
export const ACCEPTED = `${PRELUDE}
if redis.call('EXISTS', keys[3]) == 1 then return 1 end
redis.call('HDEL', keys[1], 'refused', 'limited')
if redis.call('HEXISTS', keys[1], 'paused_by') == 0 then return 0 end
append(keys[2], now(), 1)
redis.call('HDEL', keys[1], 'paused_by', 'why', 'try_at', 'try_every', 'urgent_at')
redis.call('SET', keys[3], 1, 'PX', ${REMEMBER_MS})
return 1
`;

/** KEYS the pauses of version 0.1. ARGV deployment. → 1 when it was one of them, which is then forgotten. */
export const TAKE_PAUSED_BEFORE = `${PRELUDE}
return redis.call('HDEL', keys[1], args[1])
`;

/** KEYS deployment. ARGV max, per. → 1. Takes one call from the bucket, which may go into debt as far as it is deep. */
export const SPEND = `${PRELUDE}${FILLED}
local at, max, per = now(), tonumber(args[1]), tonumber(args[2])
local held = redis.call('HMGET', keys[1], 'tokens', 'at')
local tokens = filled(at, held[1], held[2], max, per)
redis.call('HSET', keys[1], 'tokens', math.max(-max, tokens - 1), 'at', math.max(at, tonumber(held[2] or '0')))
return 1
`;

/** KEYS deployment. ARGV max, per. → how many calls the bucket holds now, as a text: less than 0 while it is in debt. Changes nothing. */
export const HELD = `${PRELUDE}${FILLED}
local held = redis.call('HMGET', keys[1], 'tokens', 'at')
return tostring(filled(now(), held[1], held[2], tonumber(args[1]), tonumber(args[2])))
`;

/** KEYS deployment. → {how clients are looked at or '', for how many ms that is known}. */
export const LOOKED_BY = `${PRELUDE}
local held = redis.call('HMGET', keys[1], 'look', 'look_at')
return {held[1] or '', now() - tonumber(held[2] or '0')}
`;

/** KEYS deployment. ARGV how. → 1. */
export const NOTE_LOOKED_BY = `${PRELUDE}
redis.call('HSET', keys[1], 'look', args[1], 'look_at', now())
return 1
`;

/** KEYS deployment. ARGV field, domain. → the domain that was told first. */
export const FIRST_DOMAIN = `${PRELUDE}
redis.call('HSETNX', keys[1], args[1], args[2])
return redis.call('HGET', keys[1], args[1])
`;

/**
 * The time that one list may take is a bucket, too: a fiftieth of the time flows in, up to a second, and each read takes out what it took. The field is the
 * time at which the debt is paid; it may lie ahead. KEYS deployment. ARGV field. → ms until the list is to be read again, 0 when now.
 */
export const LIST_REST = `${PRELUDE}
return math.max(0, tonumber(redis.call('HGET', keys[1], args[1]) or '0') - now())
`;

/** KEYS deployment. ARGV field, ms that it took. → 1. */
export const NOTE_LIST = `${PRELUDE}
local at = now()
local empty = math.max(at - ${LIST_PARTS * LIST_BURST_MS}, tonumber(redis.call('HGET', keys[1], args[1]) or '0'))
redis.call('HSET', keys[1], args[1], math.min(at + ${LIST_REST_MS}, empty + args[2] * ${LIST_PARTS}))
return 1
`;
