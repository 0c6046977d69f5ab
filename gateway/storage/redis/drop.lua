-- Forget every reading of one prompt or key, and refuse older ones from now on.
-- KEYS[1] the entry; ARGV: generation of the change, seconds to live.
local floor = redis.pcall('HGET', KEYS[1], 'floor')
if type(floor) == 'table' then
    floor = false
end
local generation = math.max(tonumber(ARGV[1]), tonumber(floor or 0) or 0)
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'floor', string.format('%d', generation))
redis.call('EXPIRE', KEYS[1], ARGV[2])
