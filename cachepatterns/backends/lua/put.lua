-- Put counts or an event into a buffer. KEYS: what waits, since when, the writer's last number.
-- ARGV: run, life, the number, how long it is remembered in ms, 'count', field, amount, …;
-- or 'event', the event. A command whose answer was lost is sent again: it counts once.
if redis.call('GET', KEYS[3]) == ARGV[3] then return 0 end
if ARGV[5] == 'event' then
  redis.call('XADD', KEYS[1], '*', 'event', ARGV[6])
else
  for i = 6, #ARGV, 2 do redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1]) end
end
redis.call('SET', KEYS[2], now, 'NX')
redis.call('SET', KEYS[3], ARGV[3], 'PX', ARGV[4])
return 1
