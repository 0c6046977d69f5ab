-- Move the generation that Redis has heard of, but only without a gap: a gap means a lost announcement, and stays visible
-- until it is repeated. KEYS[1] the generation; ARGV: first and last generation of the announcement.
local known = tonumber(redis.call('GET', KEYS[1]) or ARGV[1] - 1) or 0
if tonumber(ARGV[1]) <= known + 1 and tonumber(ARGV[2]) > known then
    redis.call('SET', KEYS[1], ARGV[2])
end
