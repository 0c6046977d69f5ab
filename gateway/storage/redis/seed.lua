-- Add what the ledger says to counters, in the place of what an earlier seed of this epoch said. Counters of earlier epochs are complete.
-- KEYS: the application's marker, the claim; per seed the counter's hash and sorted set. ARGV: the stage; then per seed the kind of
-- window, its number, what was used. Answers the time.
local now = now_ms()
local epoch = life_of(KEYS[1], now)
for i = 1, #KEYS / 2 - 1 do
    local hash, set, at = KEYS[2 * i + 1], KEYS[2 * i + 2], 1 + (i - 1) * 3
    local number, used = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
    local known = redis.call('HMGET', hash, 'window', 'epoch', 'seeded')
    local window = tonumber(known[1] or -1)
    if window < number then begin(hash, set, number, epoch) end
    if window < number or (window == number and known[2] == epoch) then
        local seeded = window == number and tonumber(known[3] or 0) or 0
        redis.call('HINCRBY', hash, 'used', string.format('%.0f', used - seeded))
        redis.call('HSET', hash, 'seeded', ARGV[at + 3])
        keep(hash, math.max(0, end_of(ARGV[at + 1], number) - now) + 60000)
    end
end
if ARGV[1] == 'first' then redis.call('HSET', KEYS[1], 'known', 1, 'seeding', string.format('%.0f', now)) end
if ARGV[1] == 'last' then
    redis.call('HDEL', KEYS[1], 'seeding')
    for _, id in ipairs(early_of(KEYS[1])) do redis.call('HDEL', KEYS[1], 'early:' .. id) end
end
if ARGV[1] == 'first' or ARGV[1] == 'given_up' then redis.call('DEL', KEYS[2]) end
return now
