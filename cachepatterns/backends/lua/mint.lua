-- Stamps for a reader that is about to load. KEYS: guards, then stamps' keys.
-- ARGV: run, life, number of guards, stamps' ttl in ms, a fresh stamp per stamp key.
-- Returns what stands under each stamp key, or false where a writer is registered.
local guards, ttl = tonumber(ARGV[3]), tonumber(ARGV[4])
local wanted = {}
for i = guards + 1, #KEYS do wanted[KEYS[i]] = true end

-- Whether a writer that can not tell its tags keeps away from all that is wanted: see
-- `keeps_away` in core/guard.py. Of one that leaves its row where it is the lists that it does not
-- name may be served, but not minted for: another writer may move the row, and it will move it
-- back.
local function spares(fence)
  if #fence < 4 then return false end
  local head, rows, found = fence[3] .. ':', {}, false
  for i = 4, #fence do rows[fence[i]] = true end
  for key in pairs(wanted) do
    if string.sub(key, 1, #head) == head then
      if rows[key] or string.sub(key, #head + 1, #head + 3) ~= 'pk=' then return false end
      found = true
    end
  end
  return found
end

local refused = false
for i = 1, guards do
  local guard, changed = read_guard(KEYS[i])
  if changed then write_guard(KEYS[i], guard) end
  if guard.q > 0 then refused = true end
  for _, fence in pairs(guard.f) do
    if spares_stamps(fence) then
      if not spares(fence) then refused = true end
    else
      for j = 2, #fence do
        if wanted[fence[j]] then refused = true end
      end
    end
  end
end
if refused then return false end

-- One that stands lives longer only where it would end too soon, as in prolong.lua.
local soon = ttl - math.min(ttl / 4, 1800000)
local standing = {}
for i = guards + 1, #KEYS do
  -- An existing stamp is adopted: other entries rest on it.
  local known = redis.call('SET', KEYS[i], ARGV[4 + i - guards], 'NX', 'GET', 'PX', ttl)
  if known and redis.call('PTTL', KEYS[i]) < soon then
    redis.call('PEXPIRE', KEYS[i], ttl, 'GT')
  end
  standing[#standing + 1] = known or ARGV[4 + i - guards]
end
return standing
