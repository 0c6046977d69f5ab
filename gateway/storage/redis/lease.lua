-- Take permits from a fixed window of one minute, by Redis' own clock, so that every worker agrees on when it ends.
-- KEYS[1] the counter of one key (a hash: window, used); ARGV: limit, wanted. Answers granted, remaining, milliseconds to the end.
local time = redis.call('TIME')
local ms = time[1] * 1000 + math.floor(time[2] / 1000)
local window = math.floor(ms / 60000)
local known = redis.call('HMGET', KEYS[1], 'window', 'used')
local used = 0
if known[1] and tonumber(known[1]) >= window then
    window = tonumber(known[1]) -- a failover to a server with a slower clock must not hand out the minute twice
    used = tonumber(known[2])
end
local granted = math.max(0, math.min(tonumber(ARGV[2]), tonumber(ARGV[1]) - used))
redis.call('HSET', KEYS[1], 'window', window, 'used', used + granted)
redis.call('EXPIRE', KEYS[1], 120)
return {granted, math.max(0, tonumber(ARGV[1]) - used - granted), (window + 1) * 60000 - ms}
