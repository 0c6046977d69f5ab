-- Check every counter of a call and take what it needs of all of them, or of none. Without a reservation's name it only looks.
-- KEYS: per counter its hash and its sorted set. ARGV: the reservation, its lifetime in milliseconds; then per counter: window, limit,
-- need, firm (1: counted for good at once), shadow (1: counted whether it fits or not).
-- Answers granted, then per counter: used and reserved, window, milliseconds to its end, whether it fitted.
local now = now_ms()
local lifetime = tonumber(ARGV[2])
local count = #KEYS / 2
local found = {}
local granted = 1
for i = 1, count do
    local at = 2 + (i - 1) * 5
    local window, used, held, over = read(KEYS[2 * i - 1], KEYS[2 * i], ARGV[at + 1], now)
    local need = tonumber(ARGV[at + 3])
    local fits = used + held + need <= tonumber(ARGV[at + 2])
    if not fits and ARGV[at + 5] ~= '1' then granted = 0 end
    found[i] = {window, used, held, over, need, fits, math.max(0, end_of(ARGV[at + 1], window) - now)}
end
local takes = granted == 1 and ARGV[1] ~= ''
local answer = {granted}
for i = 1, count do
    local window, used, held, over, need, fits, left = unpack(found[i])
    if takes then
        local hash, set = KEYS[2 * i - 1], KEYS[2 * i]
        if over then redis.call('DEL', set) end
        if ARGV[2 + (i - 1) * 5 + 4] == '1' then
            used = used + need
        elseif need > 0 then
            redis.call('ZADD', set, now + lifetime, ARGV[1] .. ':' .. string.format('%.0f', need))
            held = held + need
            keep(set, math.max(left, lifetime) + 60000)
        end
        redis.call('HSET', hash, 'window', window, 'used', used, 'held', held)
        keep(hash, math.max(left, lifetime) + 60000)
    end
    answer[#answer + 1] = used + held
    answer[#answer + 1] = window
    answer[#answer + 1] = left
    answer[#answer + 1] = fits and 1 or 0
end
return answer
