-- What waits under some fields. KEYS: what waits, the open batches.
-- ARGV: run, life, the head of batches' keys, the fields.
-- Batches' keys are made here: all keys of a buffer are in one slot.
local fields = {}
for i = 4, #ARGV do fields[#fields + 1] = ARGV[i] end
local found = {redis.call('HMGET', KEYS[1], unpack(fields))}
for _, batch in ipairs(redis.call('HKEYS', KEYS[2])) do
  found[#found + 1] = batch
  found[#found + 1] = redis.call('HMGET', ARGV[3] .. batch, unpack(fields))
end
return found
