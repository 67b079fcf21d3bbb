-- After an acknowledged COMMIT: bump, and take back one's own registration. KEYS: guards.
-- ARGV: run, life, token, then the keys of the tags to bump.
-- Stamps found under the tags are deleted even where the registration stands: one that was
-- minted meanwhile means that it had been lost. Other writers' registrations stay.
local token = ARGV[3]
for i = 4, #ARGV do redis.call('DEL', ARGV[i]) end
for i = 1, #KEYS do
  local guard, changed = read_guard(KEYS[i])
  if guard.f[token] then
    guard.f[token] = nil
    changed = true
  end
  if changed then write_guard(KEYS[i], guard) end
end
return 1
