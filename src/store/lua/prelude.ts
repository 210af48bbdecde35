/**
 * What the scripts share. `keys` and `args` are those of the call; before them every script is given the store that its caller expects, and refuses
 * another one: an emptied, replaced or rolled back store must not be taken for the one that was there before.
 *
 * Time is the server's, in ms, so that all workers go by one clock. Redis does not roll a script back when it fails half-way, so every script checks
 * first, then writes the audit entries, then the rest: a failure can leave an entry too many but never a change without its entry.
 */
export const PRELUDE = `
local audit_size = KEYS[2]
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return redis.error_reply('REKEYD_OTHER another store') end
if tonumber(redis.call('GET', audit_size) or '0') < tonumber(ARGV[2]) then return redis.error_reply('REKEYD_BEHIND rolled back') end
local keys, args = {unpack(KEYS, 3)}, {unpack(ARGV, 3)}

local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function append(log, at, first)
  local seq = tonumber(redis.call('GET', audit_size) or '0')
  for i = first, #args do
    seq = redis.call('INCR', audit_size)
    redis.call('XADD', log, seq .. '-0', 'at', at, 'draft', args[i])
  end
  return seq
end
`;

/** The start of an error that a script answers with when it was run on another store, or on one that was rolled back. */
export const OTHER_STORE = 'REKEYD_OTHER';
export const ROLLED_BACK = 'REKEYD_BEHIND';

/** For how long, in ms, an operation that belongs to no record is recognised when it comes a second time. */
export const REMEMBER_MS = 24 * 60 * 60 * 1000;
