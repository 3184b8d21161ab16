-- The usual call, which the rest of the script would decide alike: one request for one bucket in
-- short form by the same limit, or without a state. It takes two thirds of the time.
if #KEYS == 1 and #ARGV == 6 and ARGV[5] == '1' then
  local spec, a, cap, need = ARGV[1], ARGV[2] + 0, ARGV[4] + 0, ARGV[6] + 0
  local v = redis.call('GET', KEYS[1])
  local full = v and instant(v)
  local d, back
  if not v then
    d = 0
  elseif full and string.sub(v, 8, 7 + #spec) == spec then
    d, back = missing(full, a, fixed(v, 8 + #spec, #v), cap)
  end
  if d and not back and a > 0 then
    if need == 0 then return {1, d} end
    if d + need > cap then return {0, d} end
    d = d + need
    v, full = short(spec, a, d)
    if full < huge then
      redis.call('SET', KEYS[1], v, 'PX', string.format('%.0f', expiry(full)))
      return {1, d}
    end
  end
end
