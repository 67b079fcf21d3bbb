-- How much a buffer holds, and for how many ms. KEYS: what waits, since when, the open batches.
-- ARGV: run, life.
local kind, size = redis.call('TYPE', KEYS[1]).ok, 0
if kind == 'hash' then size = redis.call('HLEN', KEYS[1]) end
if kind == 'stream' then size = redis.call('XLEN', KEYS[1]) end
local oldest = now
if size > 0 then oldest = tonumber(redis.call('GET', KEYS[2]) or now) end
local batches = redis.call('HVALS', KEYS[3])
for _, since in ipairs(batches) do oldest = math.min(oldest, tonumber(since)) end
return {size, #batches, now - oldest}
