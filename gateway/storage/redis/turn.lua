-- Whose turn it is to seed the counters of an application. KEYS: its marker, the claim. ARGV: who asks, milliseconds that a claim holds.
-- Answers 0 (they are known), 1 (the one who asks) or 2 (another), and the time.
local now = now_ms()
local _, known = life_of(KEYS[1], now)
if known then return {0, now} end
local claimed = redis.call('GET', KEYS[2])
if claimed and claimed ~= ARGV[1] then return {2, now} end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return {1, now}
