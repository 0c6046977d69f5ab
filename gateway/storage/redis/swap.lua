-- Put one value in the place of another, in one step: a claim, its renewal, its fulfilment and its release are all this.
-- KEYS[1] the place; ARGV: expected value, new value (either may be empty: nothing), milliseconds to live.
-- Answers 1 when it was done, else what lies there (false: nothing does).
local found = redis.pcall('GET', KEYS[1])
if type(found) == 'table' then
    redis.call('DEL', KEYS[1]) -- not a string: somebody else's rubbish
    found = false
end
if (found or '') ~= ARGV[1] then
    return found
end
if ARGV[2] == '' then
    redis.call('DEL', KEYS[1])
else
    redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return 1
