-- Forget a batch that is written. KEYS: the open batches, the batch. ARGV: run, life, its name.
redis.call('HDEL', KEYS[1], ARGV[3])
return redis.call('DEL', KEYS[2])
