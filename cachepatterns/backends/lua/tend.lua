-- Look after guards that kept a reader away: make missing ones, purge expired registrations,
-- end quarantines. KEYS: guards. ARGV: run, life, and 'open' to declare that no writer is in
-- flight, which skips the quarantine.
for i = 1, #KEYS do
  local guard, changed = read_guard(KEYS[i])
  if ARGV[3] == 'open' and guard.q > 0 then
    guard.q = 0
    changed = true
  end
  if changed then write_guard(KEYS[i], guard) end
end
return 1
