-- Put the truth in the place of reservations. A counter that has gone on to another window has nothing left to settle.
-- KEYS: per settlement the counter's hash and sorted set. ARGV: again (1: sent before, so only what is still reserved is settled);
-- then per settlement: window, the reservation's member, its amount, the truth.
for i = 1, #KEYS / 2 do
    local hash, set, at = KEYS[2 * i - 1], KEYS[2 * i], 1 + (i - 1) * 4
    local window = redis.call('HGET', hash, 'window')
    if window and tonumber(window) == tonumber(ARGV[at + 1]) then
        local found = redis.call('ZREM', set, ARGV[at + 2])
        if found == 1 then redis.call('HINCRBY', hash, 'held', '-' .. ARGV[at + 3]) end
        if found == 1 or ARGV[1] == '0' then redis.call('HINCRBY', hash, 'used', ARGV[at + 4]) end
    end
end
return 1
