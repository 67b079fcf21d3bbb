-- Register a writer before its COMMIT. KEYS: guards.
-- ARGV: run, life, token, then per guard a JSON list of tag keys, or ['*', model tag's key]
-- with the keys of the only rows' tags that it will touch, where these are known; 'new' or
-- 'renew'; for '~' the key of the row's entry and its witness.
-- The stamps of the named tags are deleted at once; '*' and '~' delete none, they only keep
-- readers away until the writer knows its tags. Renewing is registering again: what was lost is
-- put back, and the stamps minted meanwhile die.
-- Returns the guard's text where the writer is alone in its only one, for RELEASE to know it by;
-- else 1.
local token, mode, entry, witness = ARGV[3], ARGV[4 + #KEYS], ARGV[5 + #KEYS], ARGV[6 + #KEYS]

local text, is_alone
for i = 1, #KEYS do
  local guard = read_guard(KEYS[i])
  local tags = cjson.decode(ARGV[3 + i])
  local known = guard.f[token]
  local lost = mode == 'renew' and known == nil
  if tags[1] == '~' and not (known and known[2] == '~') then
    if mode == 'renew' or not is_there(tags, entry, witness) then tags[1] = '*' end
  end
  local fence = {now + life}
  for _, tag in ipairs(tags) do fence[#fence + 1] = tag end
  guard.f[token] = fence
  text = write_guard(KEYS[i], guard)
  is_alone = guard.q == 0 and next(guard.f) == token and next(guard.f, token) == nil
  if lost or not spares_stamps(fence) then bump(fence) end
end
return is_alone and #KEYS == 1 and text or 1
