-- Count what a call used whose worker died before it could say so; each name counts once. KEYS: the application's marker, the name's
-- place; per counter its hash and sorted set. ARGV: when the call started, milliseconds that the name is remembered; then per counter the kind
-- of window, its number, what was used.
local now = now_ms()
local epoch, known = life_of(KEYS[1], now)
if not redis.call('SET', KEYS[2], 1, 'NX', 'PX', ARGV[2]) then return 0 end
-- What is not seeded yet, or not for the last time, gets the call with the ledger's rows.
local seeding = redis.call('HGET', KEYS[1], 'seeding')
if not known or (seeding and tonumber(ARGV[1]) < tonumber(seeding)) then return 0 end
for i = 1, #KEYS / 2 - 1 do
    local hash, set, at = KEYS[2 * i + 1], KEYS[2 * i + 2], 2 + (i - 1) * 3
    if revived(hash, set, ARGV[at + 1], tonumber(ARGV[at + 2]), now, epoch) then redis.call('HINCRBY', hash, 'used', ARGV[at + 3]) end
end
return 1
