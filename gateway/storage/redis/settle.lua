-- Put the truth in the place of reservations. A counter that has gone on to another window has nothing left to settle.
-- KEYS: the application's marker; per settlement the counter's hash and sorted set. ARGV: again (1: sent before, so only what is still
-- reserved is settled); then per settlement: window's number, its kind, the reservation's member, its amount, the truth.
local now = now_ms()
local epoch, known = life_of(KEYS[1], now)
for i = 1, (#KEYS - 1) / 2 do
    local hash, set, at = KEYS[2 * i], KEYS[2 * i + 1], 1 + (i - 1) * 5
    if revived(hash, set, ARGV[at + 2], tonumber(ARGV[at + 1]), now, epoch) then
        local found = redis.call('ZREM', set, ARGV[at + 3])
        if found == 1 then redis.call('HINCRBY', hash, 'held', '-' .. ARGV[at + 4]) end
        -- Of a window that is not known yet, the ledger counts the calls that end before it is.
        local ours = known or not long[ARGV[at + 2]] or redis.call('HGET', hash, 'epoch') ~= epoch
        if ours and (found == 1 or ARGV[1] == '0') then redis.call('HINCRBY', hash, 'used', ARGV[at + 5]) end
    end
end
return 1
