-- Whether the row is where a writer says that it will leave it, in the lists that it names: that
-- is so if the row's entry says so, and is valid. Who moves the row from now on, or has done so
-- and has not released yet, deletes the stamps of the lists that it moves it to, or keeps readers
-- from them; and none are minted while '~' stands. Put before FENCE.
local function is_there(tags, entry, witness)
  local found = redis.call('MGET', entry, tags[2], tags[3])
  local payload = found[1]
  for _, part in ipairs({found[2], found[3], witness}) do
    if not payload or not part or part == '' then return false end
    if not string.find(payload, part, 1, true) then return false end
  end
  return true
end
