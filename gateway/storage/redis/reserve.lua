-- Check every counter of a call and take what it needs of all of them, or of none. Without a reservation's name it only looks.
-- KEYS: the application's marker; per counter its hash and its sorted set. ARGV: the reservation, its lifetime in milliseconds; then per
-- counter: window, limit, need, firm (1: counted for good at once), shadow (1: counted whether it fits or not).
-- Answers granted and the epoch, then per counter: used and reserved, window, milliseconds to its end, whether it fitted. Granted is -1,
-- alone, where the long windows are not known.
local now = now_ms()
local lifetime = tonumber(ARGV[2])
local count = (#KEYS - 1) / 2
local epoch, known = life_of(KEYS[1], now)
local found = {}
local granted = 1
for i = 1, count do
    local at = 2 + (i - 1) * 5
    if not known and long[ARGV[at + 1]] then return {-1} end
    local window, used, held, over = read(KEYS[2 * i], KEYS[2 * i + 1], ARGV[at + 1], now)
    local need = tonumber(ARGV[at + 3])
    local fits = used + held + need <= tonumber(ARGV[at + 2])
    if not fits and ARGV[at + 5] ~= '1' then granted = 0 end
    found[i] = {window, used, held, over, need, fits, math.max(0, end_of(ARGV[at + 1], window) - now)}
end
local takes = granted == 1 and ARGV[1] ~= ''
-- Requests alone leave a reservation of nothing behind: by it a caller who never heard the answer can take them back (cancel.lua).
local traced = false
for i = 1, count do
    if takes and ARGV[2 + (i - 1) * 5 + 4] ~= '1' and found[i][5] > 0 then traced = true end
end
if takes then note_early(KEYS[1], known, ARGV[1]) end
local answer = {granted, tonumber(epoch)}
for i = 1, count do
    local window, used, held, over, need, fits, left = unpack(found[i])
    if takes then
        local hash, set = KEYS[2 * i], KEYS[2 * i + 1]
        if over then begin(hash, set, window, epoch) end
        local firm = ARGV[2 + (i - 1) * 5 + 4] == '1'
        if firm then
            used = used + need
        else
            held = held + need
        end
        if (firm and not traced) or (not firm and need > 0) then
            redis.call('ZADD', set, now + lifetime, ARGV[1] .. ':' .. string.format('%.0f', firm and 0 or need))
            keep(set, math.max(left, lifetime) + 60000)
            traced = true
        end
        redis.call('HSET', hash, 'used', used, 'held', held)
        keep(hash, math.max(left, lifetime) + 60000)
    end
    answer[#answer + 1] = used + held
    answer[#answer + 1] = window
    answer[#answer + 1] = left
    answer[#answer + 1] = fits and 1 or 0
end
return answer
