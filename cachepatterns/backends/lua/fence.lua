-- Register a writer before its COMMIT. KEYS: guards.
-- ARGV: run, life, token, then per guard a JSON list of tag keys, or ['*', model tag's key]
-- with the keys of the only rows' tags that it will touch, where these are known.
-- The stamps of the named tags are deleted at once; '*' deletes none, it only keeps readers
-- away until the writer knows its tags. Renewing is registering again: what was lost is put
-- back, and the stamps minted meanwhile die.
local token = ARGV[3]
for i = 1, #KEYS do
  local guard = read_guard(KEYS[i])
  local tags = cjson.decode(ARGV[3 + i])
  local known = guard.f[token]
  local lost = ARGV[#ARGV] == 'renew' and known == nil
  local fence = {now + life}
  for _, tag in ipairs(tags) do fence[#fence + 1] = tag end
  guard.f[token] = fence
  write_guard(KEYS[i], guard)
  if fence[2] ~= '*' or lost then bump(fence) end
end
return 1
