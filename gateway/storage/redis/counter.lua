-- A counter is a hash (window, used, held) and a sorted set of its reservations ("id:amount", scored by when they expire).
-- Answers window, used, held of the window that counts now, and whether the hash is of an earlier one.
local function read(hash, set, window, now)
    local number = number_of(window, now)
    local known = redis.call('HMGET', hash, 'window', 'used', 'held')
    -- A failover to a server with a slower clock must not hand out a window twice, so a later one goes on.
    if not known[1] or tonumber(known[1]) < number then return number, 0, 0, true end
    local held = tonumber(known[3] or 0)
    local expired = redis.call('ZRANGEBYSCORE', set, '-inf', now)
    if #expired > 0 then
        for _, member in ipairs(expired) do held = held - tonumber(string.match(member, ':(%d+)$')) end
        redis.call('ZREMRANGEBYSCORE', set, '-inf', now)
        redis.call('HSET', hash, 'held', held)
    end
    return tonumber(known[1]), tonumber(known[2]), held, false
end

-- Keep a key for so many milliseconds at least.
local function keep(key, ms)
    if redis.call('PTTL', key) < ms then redis.call('PEXPIRE', key, ms) end
end
