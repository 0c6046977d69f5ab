-- Undo a reservation by its name, if it was made and is still there: its members say so, since it took everything or nothing.
-- KEYS: per counter its hash and its sorted set, as for reserve.lua. ARGV: the reservation; then per counter: need, firm. Answers 1 when it was.
local count = #KEYS / 2
local made = 0
for i = 1, count do
    local need, firm = ARGV[2 * i], ARGV[2 * i + 1] == '1'
    if redis.call('ZREM', KEYS[2 * i], ARGV[1] .. ':' .. (firm and '0' or need)) == 1 then
        made = 1
        if not firm then redis.call('HINCRBY', KEYS[2 * i - 1], 'held', '-' .. need) end
    end
end
for i = 1, count do
    if made == 1 and ARGV[2 * i + 1] == '1' and tonumber(redis.call('HGET', KEYS[2 * i - 1], 'used') or 0) > 0 then
        redis.call('HINCRBY', KEYS[2 * i - 1], 'used', '-' .. ARGV[2 * i])
    end
end
return made
