-- One more piece at the end of a row. A piece that is not above the last was written before, by a call that never heard the answer.
-- KEYS[1] the row; ARGV: the piece's number, the lowest that stays, milliseconds to live, the piece.
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if not last or tonumber(string.match(last[1], '^%d+')) < tonumber(ARGV[1]) then
    redis.call('XADD', KEYS[1], 'MINID', ARGV[2], ARGV[1] .. '-0', 'piece', ARGV[4])
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
