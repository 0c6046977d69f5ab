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

-- The epoch of an application's counters, and whether the long windows among them are known. An epoch begins with the first question after
-- the data was lost. Should the marker alone go, counters of earlier epochs are complete by themselves and are not seeded.
local function life_of(marker, now)
    local known = redis.call('HMGET', marker, 'epoch', 'known')
    if known[1] then return known[1], known[2] == '1' end
    local epoch = string.format('%.0f', now)
    redis.call('HSET', marker, 'epoch', epoch)
    redis.call('PEXPIRE', marker, 7948800000) -- 92 days, longer than any window; seeding once a quarter costs nothing
    return epoch, false
end

-- A call that started before the counters were seeded, and is counted by them now that they are: its id, which begins with the time
-- (UUIDv7), is noted in the marker until the last seed, which then leaves it out.
local function note_early(marker, known, id)
    local seeding = known and redis.call('HGET', marker, 'seeding')
    local started = tonumber(string.sub(id, 1, 8) .. string.sub(id, 10, 13), 16)
    if seeding and started and started < tonumber(seeding) and redis.call('HLEN', marker) < 10000 then
        redis.call('HSET', marker, 'early:' .. id, 1)
    end
end

-- The calls that were noted.
local function early_of(marker)
    local ids = {}
    for _, field in ipairs(redis.call('HKEYS', marker)) do
        if string.sub(field, 1, 6) == 'early:' then ids[#ids + 1] = string.sub(field, 7) end
    end
    return ids
end

local long = {hour = true, day = true, month = true}

-- Begin a counter's window with nothing in it.
local function begin(hash, set, window, epoch)
    redis.call('DEL', hash, set)
    redis.call('HSET', hash, 'window', window, 'used', 0, 'held', 0, 'epoch', epoch)
end

-- The window that a counter is in. One that is not there, of the window that counts now, is begun: its data was lost while calls were under
-- way. False: there is no such window any more.
local function revived(hash, set, period, number, now, epoch)
    local window = redis.call('HGET', hash, 'window')
    if window then return tonumber(window) == number end
    if number_of(period, now) ~= number then return false end
    begin(hash, set, number, epoch)
    keep(hash, math.max(0, end_of(period, number) - now) + 60000)
    return true
end
