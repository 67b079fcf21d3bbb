-- Register a writer before its COMMIT. KEYS: guards.
-- ARGV: run, life, token, then per guard a JSON list of tag keys, or ['*', model tag's key]
-- with the keys of the only rows' tags that it will touch, where these are known; 'new' or
-- 'renew'; for '~' the key of the row's entry and its witness.
-- The stamps of the named tags are deleted at once; '*' and '~' delete none, they only keep
-- readers away until the writer knows its tags. Renewing is registering again: what was lost is
-- put back, and the stamps minted meanwhile die.
local token, mode, entry, witness = ARGV[3], ARGV[4 + #KEYS], ARGV[5 + #KEYS], ARGV[6 + #KEYS]

-- Whether the row is where a writer says that it will leave it, in the lists that it names: that
-- is so if the row's entry says so, and is valid. Who moves the row from now on, or has done so
-- and has not released yet, deletes the stamps of the lists that it moves it to, or keeps readers
-- from them; and none are minted while '~' stands.
local function is_there(tags)
  local found = redis.call('MGET', entry, tags[2], tags[3])
  local payload = found[1]
  for _, part in ipairs({found[2], found[3], witness}) do
    if not payload or not part or not string.find(payload, part, 1, true) then return false end
  end
  return true
end

for i = 1, #KEYS do
  local guard = read_guard(KEYS[i])
  local tags = cjson.decode(ARGV[3 + i])
  local known = guard.f[token]
  local lost = mode == 'renew' and known == nil
  if tags[1] == '~' and not (known and known[2] == '~') then
    if mode == 'renew' or not is_there(tags) then tags[1] = '*' end
  end
  local fence = {now + life}
  for _, tag in ipairs(tags) do fence[#fence + 1] = tag end
  guard.f[token] = fence
  write_guard(KEYS[i], guard)
  if lost or not spares_stamps(fence) then bump(fence) end
end
return 1
