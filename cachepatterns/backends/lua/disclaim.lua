-- Take back a claim to load an entry. KEYS: the claim. ARGV: run, life, token.
-- One that has expired may be another's by now.
if redis.call('GET', KEYS[1]) ~= ARGV[3] then return 0 end
return redis.call('DEL', KEYS[1])
