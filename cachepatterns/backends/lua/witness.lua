-- Whether the row is where a writer says that it will leave it, in the lists that it names: that
-- is so if the row's entry says so, and is valid. Who moves the row from now on, or has done so
-- and has not released yet, deletes the stamps of the lists that it moves it to, or keeps readers
-- from them; and none are minted while '~' stands. Put before FENCE.

-- As msgpack has bytes; nil for none, and for more than stamps and witnesses have.
local function packed(bytes)
  if not bytes or bytes == '' or #bytes > 255 then return nil end
  return '\196' .. string.char(#bytes) .. bytes
end

-- An entry (`core/entry.py`) begins with its stamps, after three bytes that say so, and ends with
-- its witness: in between, a row may hold any bytes.
local function is_there(tags, entry, witness)
  local found = redis.call('MGET', entry, tags[2], tags[3])
  local payload, model, row, told = found[1], packed(found[2]), packed(found[3]), packed(witness)
  if not (payload and model and row and told) then return false end
  return string.sub(payload, 4, 3 + #model + #row) == model .. row
    and string.sub(payload, -#told) == told
end
