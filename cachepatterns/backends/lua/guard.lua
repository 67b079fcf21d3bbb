-- Put before every script that touches a guard: reading, mending and writing one.
--
-- A guard is the one key of a model in which writers register before they commit. It
-- holds 'o' .. run while nobody is registered, else JSON {r, q, f}:
--   r  the incarnation of the server that it was made on; another one means a restart or a
--      failover, which may have lost registrations
--   q  milliseconds until which the model is in quarantine, 0 for none
--   f  token -> {deadline, tag key, tag key, ...}, or {deadline, '*', model tag's key} for
--      a writer that can not tell its tags before it has written; the keys of rows' tags
--      follow if it will touch no other rows; or {deadline, '~', model tag's key, tag key, ...}
--      for one that will touch one row, which is in no other lists than those named here
-- A missing guard (first start, eviction, FLUSHALL) is made in quarantine: until every
-- transaction that was open at that moment has ended, nothing may be stored. It took
-- registrations along that nobody will purge any more, so what they would have bumped is
-- bumped now, with the model's stamp, on which all of its entries rest.
--
-- `run` is what the caller took the server for, which it asks only now and then. A running
-- primary that gets its first replica becomes another incarnation, and for a while some callers
-- know and some do not: each would take the others' guards for a lost server's, and put them in
-- quarantine again and again. So before a guard is made, the server says itself who it is.
local run, life = ARGV[1], tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- Many by one command, but no more than Lua can hand over.
local function delete(keys, first)
  for i = first, #keys, 1000 do
    redis.call('DEL', unpack(keys, i, math.min(i + 999, #keys)))
  end
end

-- Whether a registration has deleted no stamps.
local function spares_stamps(fence)
  return fence[2] == '*' or fence[2] == '~'
end

local function bump(fence)
  delete(fence, spares_stamps(fence) and 3 or 2)
end

local asked = false
local function who_this_is()
  if asked then return run end
  asked = true
  local server, replication = redis.pcall('INFO', 'server'), redis.pcall('INFO', 'replication')
  if type(server) ~= 'string' or type(replication) ~= 'string' then return run end
  local id = string.match(server, 'run_id:(%w+)')
  if not id then return run end
  local stream = string.match(replication, 'master_replid:(%w+)') or ''
  return string.sub(id, 1, 12) .. string.sub(stream, 1, 12)  -- incarnation.py, ID_LENGTH
end

local function read_guard(key)
  local raw = redis.call('GET', key)
  local guard, changed = nil, false
  if raw then
    if string.sub(raw, 1, 1) == 'o' then
      guard = {r = string.sub(raw, 2), q = 0, f = {}}
    else
      local ok, decoded = pcall(cjson.decode, raw)
      if ok and type(decoded) == 'table' then guard = decoded end
    end
  end
  if not guard or guard.r ~= run then run = who_this_is() end
  if not guard or guard.r ~= run then
    local head, name = string.match(key, '^(.*):guard:([^:]+)$')
    if head then redis.call('DEL', head .. ':tag:' .. name) end
    guard = {r = run, q = now + life, f = guard and guard.f or {}}
    changed = true
  end
  if guard.q > 0 and guard.q <= now then
    guard.q = 0
    changed = true
  end
  -- Who purges an expired registration performs the bump that it names.
  for token, fence in pairs(guard.f) do
    if fence[1] <= now then
      bump(fence)
      guard.f[token] = nil
      changed = true
    end
  end
  return guard, changed
end

-- Returns the text that the guard holds from now on.
local function write_guard(key, guard)
  local is_open = guard.q == 0 and next(guard.f) == nil
  local text = is_open and 'o' .. guard.r or cjson.encode(guard)
  redis.call('SET', key, text)
  return text
end
