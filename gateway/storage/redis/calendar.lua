-- What every script of the counters begins with: calendar windows in UTC by Redis' own clock, so that all workers agree on them.
-- Months count from the year 0. Days to dates and back: Howard Hinnant, "chrono-compatible low-level date algorithms".
local lengths = {second = 1000, minute = 60000, hour = 3600000, day = 86400000}
local floor = math.floor

local function number_of(window, ms)
    if window == 'none' then return 0 end
    if lengths[window] then return floor(ms / lengths[window]) end
    local z = floor(ms / 86400000) + 719468
    local era = floor(z / 146097)
    local doe = z - era * 146097
    local yoe = floor((doe - floor(doe / 1460) + floor(doe / 36524) - floor(doe / 146096)) / 365)
    local doy = doe - (365 * yoe + floor(yoe / 4) - floor(yoe / 100))
    local mp = floor((5 * doy + 2) / 153)
    local month = mp < 10 and mp + 3 or mp - 9
    local year = yoe + era * 400 + (month <= 2 and 1 or 0)
    return year * 12 + month - 1
end

local function end_of(window, number)
    if window == 'none' then return 0 end
    if lengths[window] then return (number + 1) * lengths[window] end
    local year, month = floor((number + 1) / 12), (number + 1) % 12 + 1
    if month <= 2 then year = year - 1 end
    local era = floor(year / 400)
    local yoe = year - era * 400
    local doy = floor((153 * (month > 2 and month - 3 or month + 9) + 2) / 5)
    local doe = yoe * 365 + floor(yoe / 4) - floor(yoe / 100) + doy
    return (era * 146097 + doe - 719468) * 86400000
end

local function now_ms()
    local time = redis.call('TIME')
    return time[1] * 1000 + floor(time[2] / 1000)
end
