-- Make a batch of what waits. KEYS: what waits, since when, the open batches, the batch.
-- ARGV: run, life, the batch's name, how much it may hold.
-- All of it goes by renaming; of a longer one a part is moved, and the rest waits on.
if redis.call('HEXISTS', KEYS[3], ARGV[3]) == 1 then return 1 end
local kind, most = redis.call('TYPE', KEYS[1]).ok, tonumber(ARGV[4])
local size = 0
if kind == 'hash' then size = redis.call('HLEN', KEYS[1]) end
if kind == 'stream' then size = redis.call('XLEN', KEYS[1]) end
if size == 0 then return 0 end
local since = redis.call('GET', KEYS[2]) or now
if size <= most then
  redis.call('RENAME', KEYS[1], KEYS[4])
  redis.call('DEL', KEYS[2])
elseif kind == 'hash' then
  local pairs_ = redis.call('HRANDFIELD', KEYS[1], most, 'WITHVALUES')
  for i = 1, #pairs_, 2 do
    redis.call('HSET', KEYS[4], pairs_[i], pairs_[i + 1])
    redis.call('HDEL', KEYS[1], pairs_[i])
  end
  redis.call('SET', KEYS[2], now)
else
  for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', most)) do
    redis.call('XADD', KEYS[4], entry[1], unpack(entry[2]))
    redis.call('XDEL', KEYS[1], entry[1])
  end
  redis.call('SET', KEYS[2], now)
end
redis.call('HSET', KEYS[3], ARGV[3], since)
return 1
