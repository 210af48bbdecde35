/**
 * What the scripts share. Time is the server's, in ms, so that all workers go by one clock. Redis does not roll a script back when it
 * fails half-way, so every script checks first, then writes the audit entries, then the rest: a failure can leave an entry too many but
 * never a change without its entry.
 */
export const PRELUDE = `
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function append(log, size, at, first)
  local seq = tonumber(redis.call('GET', size) or '0')
  for i = first, #ARGV do
    seq = redis.call('INCR', size)
    redis.call('XADD', log, seq .. '-0', 'at', at, 'draft', ARGV[i])
  end
  return seq
end
`;
