import { PRELUDE, REMEMBER_MS } from './prelude.ts';

/** For how long, in ms, a rotation is found by its id alone: far longer than one takes. */
const FINDABLE_MS = 100 * 24 * 60 * 60 * 1000;

/** KEYS record → {record, version, epoch, claim, op, now, 1 when it is doubted}, or nil. */
export const LOAD = `${PRELUDE}
local held = redis.call('HMGET', keys[1], 'record', 'version', 'epoch', 'claim', 'op', 'doubted')
if not held[1] then return false end
return {held[1], held[2], held[3] or 0, held[4] or '', held[5] or '', now(), held[6] or 0}
`;

/**
 * KEYS record. ARGV claim, least epoch. → as LOAD, or nil.
 * A claim is a random name: were it a number, one that a failover forgot would be given out a second time. The epoch beside it only orders claims, for
 * folders: the time, pushed forward when it would repeat.
 */
export const CLAIM = `${PRELUDE}
local held = redis.call('HMGET', keys[1], 'record', 'version', 'epoch', 'claim', 'op', 'doubted')
if not held[1] then return false end
local at = now()
local epoch = held[3] or 0
if held[4] ~= args[1] then
  epoch = math.max(epoch + 1, at, tonumber(args[2]))
  redis.call('HSET', keys[1], 'epoch', epoch, 'claim', args[1])
end
return {held[1], held[2], epoch, args[1], held[5] or '', at, held[6] or 0}
`;

/**
 * Which clients have a key: a member `<mark> <client>` for each mark of a client's keys, in a sorted set without scores, so that all members of a mark lie side by side.
 * The marks of the last time stand beside the record, because the worker that commits does not know them: an older version may have committed in between.
 */
const OWN = `
local function own(owners, record, ref, before, after)
  if (before or '') == after then return end
  local kept = {}
  for mark in after:gmatch('%S+') do
    kept[mark] = true
    redis.call('ZADD', owners, 0, mark .. ' ' .. ref)
  end
  for mark in (before or ''):gmatch('%S+') do
    if not kept[mark] then redis.call('ZREM', owners, mark .. ' ' .. ref) end
  end
  redis.call('HSET', record, 'marks', after)
end
`;

/**
 * KEYS record, sealed, history, clients, due, open, audit, seen, found, held, offered, owners; the wave that is counted in, if one is, with its waiting and its
 * failed; the request that is answered, if one is; the rotations that begin.
 * ARGV op, expected op ('' for a new client), expected claim, record, due ('' for none), open (1 or 0), reference, enrolment, what was seen, number of
 * sealed keys, of erased keys, of ended rotations, the answer ('' for none), the wave's id ('' for none), what its rotation came to, whether a key
 * is offered (1 or 0), number of rotations that begin, marks of its keys; then thumbprint and JWE of each sealed key, the erased thumbprints, the ended rotations, the audit drafts. → {'done', version, now, seq}, {'conflict'} or {'fenced'}.
 *
 * The record must be what the last commit that the caller saw made of it. That commit is named by a random id: a version number that a failover forgot is
 * given out a second time, and would let two workers build on different records.
 *
 * ioredis may send a command again after a reconnect. The second time finds its own op, answers as the first time did, and writes a byte, because WAITAOF
 * on the new connection waits only for what that connection wrote.
 */
export const COMMIT = `${PRELUDE}${OWN}
local record, sealed, history, clients, due, open, log, seen, found, held, offered, owners = unpack(keys)
local counted = args[14] ~= ''
local answered = keys[counted and 16 or 13]
local last_op, claim, last_version, last_at, last_seq, last_marks =
  unpack(redis.call('HMGET', record, 'op', 'claim', 'version', 'at', 'seq', 'marks'))
if last_op == args[1] then
  redis.call('HINCRBY', record, 'touched', 1)
  return {'done', tonumber(last_version), tonumber(last_at), tonumber(last_seq)}
end
if args[2] == '' then
  if last_version then return {'conflict'} end
else
  if not last_version then return {'conflict'} end
  if (claim or '') ~= args[3] then return {'fenced'} end
  if last_op ~= args[2] then return {'conflict'} end
end

local at = now()
local version = (last_version or 0) + 1
local ref = args[7]
local sealing = 19
local erasing = sealing + 2 * args[10]
local ending = erasing + args[11]
local drafts = ending + args[12]

local seq = append(log, at, drafts)
for i = sealing, erasing - 1, 2 do redis.call('HSET', sealed, args[i], args[i + 1]) end
redis.call('HSET', record, 'record', args[4], 'version', version, 'op', args[1], 'at', at, 'seq', seq)
redis.call('HSETNX', record, 'epoch', 0)
redis.call('HDEL', record, 'doubted')
for i = erasing, ending - 1 do redis.call('HDEL', sealed, args[i]) end
for i = ending, drafts - 1 do redis.call('LPUSH', history, args[i]) end
if drafts > ending then redis.call('LTRIM', history, 0, 49) end
redis.call('ZADD', clients, 0, ref)
redis.call('HSET', seen, ref, args[9])
if args[5] == '' then redis.call('ZREM', due, ref) else redis.call('ZADD', due, args[5], ref) end
redis.call(args[6] == '1' and 'SADD' or 'SREM', open, ref)
redis.call(args[8] == 'found' and 'SADD' or 'SREM', found, ref)
redis.call(args[8] == 'held' and 'SADD' or 'SREM', held, ref)
redis.call(args[16] == '1' and 'SADD' or 'SREM', offered, ref)
own(owners, record, ref, last_marks, args[18])
if args[13] ~= '' then redis.call('SET', answered, args[13], 'PX', ${REMEMBER_MS}) end
for i = #keys - args[17] + 1, #keys do
  redis.call('SET', keys[i], (seq - (#args - drafts)) .. ' ' .. ref, 'NX', 'PX', ${FINDABLE_MS})
end
if counted and redis.call('HGET', keys[13], 'id') == args[14] then
  local waited = redis.call('SREM', keys[14], ref) == 1
  if args[15] == 'failed' then redis.call('SADD', keys[15], ref)
  elseif waited then redis.call('HINCRBY', keys[13], 'active', 1) end
end
return {'done', version, at, seq}
`;

/** KEYS record, owners. ARGV op, reference, marks. → 1 when the record is still what that commit made of it, and its keys are found from now on; else 0. */
export const NOTE_OWNER = `${PRELUDE}${OWN}
local op, marks = unpack(redis.call('HMGET', keys[1], 'op', 'marks'))
if op ~= args[1] then return 0 end
own(keys[2], keys[1], args[2], marks, args[3])
return 1
`;

/** KEYS string. ARGV form of the marks. → 1. */
export const OWNERS_NOTED = `${PRELUDE}
redis.call('SET', keys[1], args[1])
return 1
`;

/**
 * KEYS record. ARGV op. → 1 when the record is still what that commit made of it, else 0. It writes a byte, because WAITAOF waits only for what its own
 * connection wrote; what was written before that is then on disk too.
 */
export const CONFIRM = `${PRELUDE}
if redis.call('HGET', keys[1], 'op') ~= args[1] then return 0 end
redis.call('HINCRBY', keys[1], 'touched', 1)
return 1
`;

/** KEYS due. ARGV ref, ms since the epoch or ''. → 1. */
export const SET_DUE = `${PRELUDE}
local due, ref, at = keys[1], args[1], args[2]
if at == '' then redis.call('ZREM', due, ref) else redis.call('ZADD', due, at, ref) end
return 1
`;

/** KEYS policies. ARGV app, names. → the names before, or nil. */
export const NOTE_POLICIES = `${PRELUDE}
local before = redis.call('HGET', keys[1], args[1])
if before ~= args[2] then redis.call('HSET', keys[1], args[1], args[2]) end
return before
`;

/** KEYS request. ARGV rotation. → 1. */
export const ANSWER = `${PRELUDE}
redis.call('SET', keys[1], args[1], 'PX', ${REMEMBER_MS})
return 1
`;

/** KEYS sealed, audit. ARGV thumbprint, old JWE, new JWE, drafts. → 1 when the new one is stored (also when sent twice), 0 when another was found. */
export const REPLACE_SEALED = `${PRELUDE}
local held = redis.call('HGET', keys[1], args[1])
if held ~= args[2] and held ~= args[3] then return 0 end
if held ~= args[3] then append(keys[2], now(), 4) end
redis.call('HSET', keys[1], args[1], args[3])
return 1
`;
