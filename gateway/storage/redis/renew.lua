-- Let reservations live on that were not let go yet; those of an earlier epoch, which were lost, are made again.
-- KEYS: the application's marker; per reservation the counter's hash and sorted set. ARGV: milliseconds from now; then per reservation
-- its member, the amount, the epoch in which it was made, the window's number and its kind. Answers the epoch.
local now = now_ms()
local epoch = life_of(KEYS[1], now)
local until_ms = now + tonumber(ARGV[1])
for i = 1, (#KEYS - 1) / 2 do
    local hash, set, at = KEYS[2 * i], KEYS[2 * i + 1], 1 + (i - 1) * 5
    if ARGV[at + 3] == epoch then
        redis.call('ZADD', set, 'XX', 'GT', until_ms, ARGV[at + 1])
    elseif revived(hash, set, ARGV[at + 5], tonumber(ARGV[at + 4]), now, epoch) then
        if redis.call('ZADD', set, 'GT', until_ms, ARGV[at + 1]) == 1 then redis.call('HINCRBY', hash, 'held', ARGV[at + 2]) end
    end
    if redis.call('EXISTS', set) == 1 then
        keep(hash, tonumber(ARGV[1]) + 60000)
        keep(set, tonumber(ARGV[1]) + 60000)
    end
end
return tonumber(epoch)
