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

-- A command may be carried out after one that its sender has sent later, where a line was lost, or
-- its sender has given it up: what that one has named stays named.
local function joined(known, fence)
  if not known or mode == 'renew' or spares_stamps(fence) then return fence end
  local all, found = {fence[1]}, {}
  for j = 2, #known do
    all[j], found[known[j]] = known[j], true
  end
  -- Rows named after '*' would open what it has closed.
  if spares_stamps(known) and #known < 4 then return all end
  for j = 2, #fence do
    if not found[fence[j]] then all[#all + 1] = fence[j] end
  end
  return all
end

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
  guard.f[token] = joined(known, fence)
  text = write_guard(KEYS[i], guard)
  is_alone = guard.q == 0 and next(guard.f) == token and next(guard.f, token) == nil
  if lost or not spares_stamps(fence) then bump(fence) end
end
return is_alone and #KEYS == 1 and text or 1
