-- Let stamps live longer that would end too soon. KEYS: stamps. ARGV: their ttl in ms.
-- Half of what they outlive their entries by may be lacking: each time is a change of the stamp, of
-- which all are told who keep in their memory what rests on it, so it is not for every miss.
local soon = ARGV[1] - math.min(ARGV[1] / 4, 1800000)
for i = 1, #KEYS do
  if redis.call('PTTL', KEYS[i]) < soon then redis.call('PEXPIRE', KEYS[i], ARGV[1], 'GT') end
end
return 1
