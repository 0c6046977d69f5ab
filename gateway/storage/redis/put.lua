-- Store a reading of one prompt or key, unless something newer is known.
-- KEYS[1] the entry (a hash: selector -> sealed document, and "floor"); ARGV: generation, selector, value, seconds to live.
-- Readings only move forward: a slow reader must not bring back what a publish has dropped (reliability F05).
local floor = redis.pcall('HGET', KEYS[1], 'floor')
if type(floor) == 'table' then
    redis.call('DEL', KEYS[1]) -- not a hash: somebody else's rubbish
    floor = false
end
if floor and tonumber(ARGV[1]) < (tonumber(floor) or 0) then
    return 0
end
redis.call('HSET', KEYS[1], 'floor', ARGV[1], ARGV[2], ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
