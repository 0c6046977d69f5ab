-- Take a bundle of a counter for good, to be handed out by the worker that asks. Follows calendar.lua and counter.lua.
-- KEYS: the counter's hash and its sorted set; ARGV: limit, wanted, window. Answers granted, remaining, milliseconds to the end.
local now = now_ms()
local limit = tonumber(ARGV[1])
local window, used, held, over = read(KEYS[1], KEYS[2], ARGV[3], now)
local granted = math.max(0, math.min(tonumber(ARGV[2]), limit - used - held))
local left = math.max(0, end_of(ARGV[3], window) - now)
if over then redis.call('DEL', KEYS[2]) end
redis.call('HSET', KEYS[1], 'window', window, 'used', used + granted, 'held', held)
redis.call('PEXPIRE', KEYS[1], left + 60000)
return {granted, math.max(0, limit - used - held - granted), left}
