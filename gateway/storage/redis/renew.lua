-- Let reservations live on that were not let go yet. KEYS: per reservation the counter's hash and sorted set. ARGV: milliseconds from now; then
-- per reservation its member.
local until_ms = now_ms() + tonumber(ARGV[1])
for i = 1, #KEYS / 2 do
    local hash, set = KEYS[2 * i - 1], KEYS[2 * i]
    redis.call('ZADD', set, 'XX', 'GT', until_ms, ARGV[1 + i])
    if redis.call('EXISTS', set) == 1 then
        keep(hash, tonumber(ARGV[1]) + 60000)
        keep(set, tonumber(ARGV[1]) + 60000)
    end
end
return 1
