import { MOST_DEAD } from '../../core/webhook.ts';
import { PRELUDE, REMEMBER_MS } from './prelude.ts';

/** A cursor is moved only from where the worker that moves it has seen it: two workers never lose an entry between them. */
const MOVE = `
local function move(hook, from, to)
  if redis.call('HGET', hook, 'cursor') ~= from then return false end
  redis.call('HSET', hook, 'cursor', to)
  redis.call('HDEL', hook, 'tries', 'since', 'next', 'error')
  return true
end
`;

const BURY = `
local function bury(hook, dead, seq, letter)
  redis.call('ZREMRANGEBYSCORE', dead, seq, seq)
  redis.call('ZADD', dead, seq, letter)
  local over = redis.call('ZCARD', dead) - ${MOST_DEAD}
  if over > 0 then
    redis.call('ZREMRANGEBYRANK', dead, 0, over - 1)
    redis.call('HINCRBY', hook, 'dropped', over)
  end
end
`;

/**
 * KEYS names, hook, again, lease. ARGV name, holder, ms. → {ms until it is free} while another worker has it; else {0, now, letters that wait for another
 * try, field, value …}. A webhook that is new begins at the end of the log.
 */
export const TAKE = `${PRELUDE}
local at = now()
redis.call('HSET', keys[1], args[1], string.format('%d', at))
local holder = redis.call('GET', keys[4])
if holder and holder ~= args[2] then return {math.max(1, redis.call('PTTL', keys[4]))} end
redis.call('SET', keys[4], args[2], 'PX', args[3])
redis.call('HSETNX', keys[2], 'cursor', redis.call('GET', audit_size) or '0')
local found = redis.call('HGETALL', keys[2])
return {0, string.format('%d', at), redis.call('ZCARD', keys[3]), unpack(found)}
`;

/** KEYS hook. ARGV cursor, the next one. → 1 when it was moved. */
export const PASS = `${PRELUDE}${MOVE}
return move(keys[1], args[1], args[2]) and 1 or 0
`;

/** KEYS hook. ARGV cursor, error, ms until the next try. → 1 when it was noted. */
export const FAIL = `${PRELUDE}
if redis.call('HGET', keys[1], 'cursor') ~= args[1] then return 0 end
local at = now()
redis.call('HINCRBY', keys[1], 'tries', 1)
redis.call('HSETNX', keys[1], 'since', string.format('%d', at))
redis.call('HSET', keys[1], 'error', args[2], 'next', string.format('%d', at + args[3]))
return 1
`;

/** KEYS hook, dead. ARGV cursor, the next one, error, ms until what follows is tried, then seq and letter of each. → 1 when they were buried. */
export const GIVE_UP = `${PRELUDE}${MOVE}${BURY}
local at = now()
local tries, since = unpack(redis.call('HMGET', keys[1], 'tries', 'since'))
if not move(keys[1], args[1], args[2]) then return 0 end
for i = 5, #args, 2 do bury(keys[1], keys[2], args[i], args[i + 1]) end
redis.call('HSET', keys[1], 'tries', (tries or 0) + 1, 'since', since or string.format('%d', at))
redis.call('HSET', keys[1], 'error', args[3], 'next', string.format('%d', at + args[4]))
return 1
`;

/** KEYS hook, audit, op. ARGV cursor, what is noted (JSON), drafts. → 1 when it was stopped. */
export const STOP = `${PRELUDE}
if redis.call('EXISTS', keys[3]) == 1 then return 1 end
if redis.call('HGET', keys[1], 'cursor') ~= args[1] then return 0 end
append(keys[2], now(), 3)
redis.call('HSET', keys[1], 'stopped', args[2])
redis.call('SET', keys[3], 1, 'PX', ${REMEMBER_MS})
return 1
`;

/** KEYS hook. → 1. What stopped the webhook, and what it waits for, is over. */
export const GO_ON = `${PRELUDE}
redis.call('HDEL', keys[1], 'stopped', 'next')
return 1
`;

const CHOSEN = `
local function chosen(letters, seqs)
  if seqs == '*' then return redis.call('ZRANGE', letters, 0, -1, 'WITHSCORES') end
  local found = {}
  for seq in seqs:gmatch('%d+') do
    local letter = redis.call('ZRANGEBYSCORE', letters, seq, seq, 'WITHSCORES')
    for i = 1, #letter do table.insert(found, letter[i]) end
  end
  return found
end
`;

/** KEYS hook, dead, again, audit, op. ARGV seqs with blanks between them, or '*'; drafts. → how many letters are tried again. */
export const RETRY = `${PRELUDE}${CHOSEN}
local done = redis.call('GET', keys[5])
if done then return tonumber(done) end
local letters = chosen(keys[2], args[1])
local waits = redis.call('HEXISTS', keys[1], 'stopped') + redis.call('HEXISTS', keys[1], 'next')
if #letters + waits > 0 then append(keys[4], now(), 2) end
for i = 1, #letters, 2 do
  redis.call('ZADD', keys[3], letters[i + 1], letters[i])
  redis.call('ZREM', keys[2], letters[i])
end
redis.call('HDEL', keys[1], 'stopped', 'next')
redis.call('SET', keys[5], #letters / 2, 'PX', ${REMEMBER_MS})
return #letters / 2
`;

/** KEYS hook, dead, again, audit, op. ARGV seqs with blanks between them, or '*'; drafts. → how many letters were discarded. */
export const DISCARD = `${PRELUDE}${CHOSEN}
local done = redis.call('GET', keys[5])
if done then return tonumber(done) end
local count = 0
local found = {{keys[2], chosen(keys[2], args[1])}, {keys[3], chosen(keys[3], args[1])}}
if #found[1][2] + #found[2][2] > 0 then append(keys[4], now(), 2) end
for _, place in ipairs(found) do
  for i = 1, #place[2], 2 do count = count + redis.call('ZREM', place[1], place[2][i]) end
end
if args[1] == '*' then redis.call('HDEL', keys[1], 'dropped') end
redis.call('SET', keys[5], count, 'PX', ${REMEMBER_MS})
return count
`;

/** KEYS hook, dead, again. ARGV seq, the letter that it dies with once more ('' when it was delivered). → 1. */
export const SETTLE = `${PRELUDE}${BURY}
local removed = redis.call('ZREMRANGEBYSCORE', keys[3], args[1], args[1])
if args[2] ~= '' and removed > 0 then bury(keys[1], keys[2], args[1], args[2]) end
return 1
`;

/** KEYS names, then hook, dead, again of each. ARGV ms, then the names. → the names that no worker has had for so long, and that are forgotten. */
export const FORGET = `${PRELUDE}
local at, gone = now(), {}
for i = 2, #args do
  local seen = redis.call('HGET', keys[1], args[i])
  if seen and at - tonumber(seen) >= tonumber(args[1]) then
    local first = 2 + (i - 2) * 3
    redis.call('HDEL', keys[1], args[i])
    redis.call('DEL', keys[first], keys[first + 1], keys[first + 2])
    table.insert(gone, args[i])
  end
end
return gone
`;
