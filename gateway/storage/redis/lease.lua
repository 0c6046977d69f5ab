-- Take a bundle of a counter for good, to be handed out by the worker that asks. Follows calendar.lua and counter.lua.
-- KEYS: the counter's hash and its sorted set, and for rules of an application its marker; ARGV: limit, wanted, window, and the least that is
-- of use (1 unless told): where that is not left, nothing is taken. Answers granted, remaining, milliseconds to the end, and of a long
-- window when it was seeded first, until the last seed (else 0); -1 alone where the long windows are not known.
local now = now_ms()
local limit = tonumber(ARGV[1])
local epoch, seeding = '0', 0
if KEYS[3] then
    local known
    epoch, known = life_of(KEYS[3], now)
    if not known and long[ARGV[3]] then return {-1} end
    if long[ARGV[3]] then seeding = tonumber(redis.call('HGET', KEYS[3], 'seeding') or 0) end
end
local window, used, held, over = read(KEYS[1], KEYS[2], ARGV[3], now)
local granted = math.max(0, math.min(tonumber(ARGV[2]), limit - used - held))
if granted < tonumber(ARGV[4] or 1) then granted = 0 end
local left = math.max(0, end_of(ARGV[3], window) - now)
if over then begin(KEYS[1], KEYS[2], window, epoch) end
redis.call('HSET', KEYS[1], 'used', used + granted, 'held', held)
redis.call('PEXPIRE', KEYS[1], left + 60000)
return {granted, math.max(0, limit - used - held - granted), left, seeding}
