-- After an acknowledged COMMIT: bump, and take back one's own registration. KEYS: guards.
-- ARGV: run, life, token, a mark's key or '', its ttl in ms, what FENCE has returned or '', then
-- the keys of the tags to bump.
-- Stamps found under the tags are deleted even where the registration stands: one that was
-- minted meanwhile means that it had been lost. Other writers' registrations stay. The mark
-- tells the relays that all of this has been done: it reaches a replica with the bump or not
-- at all.
local token = ARGV[3]
delete(ARGV, 7)
for i = 1, #KEYS do
  local guard, changed = read_guard(KEYS[i])
  if guard.f[token] then
    guard.f[token] = nil
    changed = true
  end
  if changed then write_guard(KEYS[i], guard) end
end
if ARGV[4] ~= '' then redis.call('SET', ARGV[4], '1', 'PX', ARGV[5]) end
return 1
