-- Note calls that spend permits leased since the counters were seeded, and may have started before. Follows calendar.lua and counter.lua.
-- KEYS: the application's marker; ARGV: ids of calls.
local _, known = life_of(KEYS[1], now_ms())
for _, id in ipairs(ARGV) do note_early(KEYS[1], known, id) end
return 1
