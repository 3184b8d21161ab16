-- What follows decides the same in every case. This is for the one that nearly all decisions are: one key, the limit as it
-- was, nobody who ever waited, a clock that has not stepped back. It takes half of the time.
if #KEYS == 1 then
  local key, spec, a, cap, need = KEYS[1], ARGV[1], ARGV[2] + 0, ARGV[4] + 0, ARGV[5] + 0
  local v = redis.call('GET', key)
  local d = not v and 0
  if v and string.sub(v, 1, #spec) == spec then
    local sec, usec, missing = string.match(v, '^(%d+) (%d+) (%d+)$', #spec + 1)
    local passed = missing and now - sec * 1000000 - usec or -1
    if passed >= 0 then d = math.max(missing - a * passed, 0) end
  end
  if d and need == 0 then return {1, d} end
  if d and d + need > cap then return {0, d} end
  if d then
    d = d + need
    if a == 0 then
      redis.call('SET', key, written(spec, d))
    else
      redis.call('SET', key, written(spec, d), 'PX', expiry(d, a))
    end
    return {1, d}
  end
end

