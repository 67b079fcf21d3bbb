-- Where nobody is registered, which is mostly so, and no quarantine has to end: what the rest of
-- this script would leave, without decoding a guard or encoding one. Put before it.
if #KEYS == 1 and ARGV[5] == 'new' and redis.call('GET', KEYS[1]) == 'o' .. ARGV[1] then
  local tags = cjson.decode(ARGV[4])
  local names = tags[1] ~= '*' and tags[1] ~= '~'
  if #tags > 0 and #tags < 1000 and (tags[1] ~= '~' or is_there(tags, ARGV[6], ARGV[7])) then
    local clock = redis.call('TIME')
    local deadline = clock[1] * 1000 + math.floor(clock[2] / 1000) + ARGV[2]
    local text = string.format('{"r":"%s","q":0,"f":{"%s":[%.0f,%s}}',
      ARGV[1], ARGV[3], deadline, string.sub(ARGV[4], 2))
    redis.call('SET', KEYS[1], text)
    if names then redis.call('DEL', unpack(tags)) end
    return text
  end
end
