-- Vouch for a database's outbox. KEYS: the lease.
-- ARGV: run, life, the run id that was current when the outbox was asked, that moment plus the
-- lease's length in ms of this server's clock, the length.
-- Counting from the moment before the database was asked, a lease that comes late is shorter by
-- as much, or none. Another incarnation's readers do not accept it.
if ARGV[3] ~= run then return 0 end
local left = math.min(tonumber(ARGV[4]) - now, tonumber(ARGV[5]))
if left <= 0 then return 0 end
local value = 'o' .. run
if redis.call('GET', KEYS[1]) ~= value or redis.call('PTTL', KEYS[1]) < left then
  redis.call('SET', KEYS[1], value, 'PX', math.floor(left))
end
return 1
