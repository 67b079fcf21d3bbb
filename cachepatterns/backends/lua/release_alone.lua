-- Where the writer is still the only one who is registered, as FENCE has told it by the guard's
-- text: what the rest of this script would do, without decoding anything. Put before it.
local alone = ARGV[6]
if alone ~= '' and #KEYS == 1 and #ARGV < 1000 and redis.call('GET', KEYS[1]) == alone
    and string.find(alone, '"r":"' .. ARGV[1] .. '"', 1, true) then
  if #ARGV > 6 then redis.call('DEL', unpack(ARGV, 7)) end
  redis.call('SET', KEYS[1], 'o' .. ARGV[1])
  if ARGV[4] ~= '' then redis.call('SET', ARGV[4], '1', 'PX', ARGV[5]) end
  return 1
end
