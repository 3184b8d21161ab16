-- Decides on requests, each on its own, in order. KEYS: a key for each bucket. ARGV: for each
-- bucket the limit (spec, a, b, cap), the number of requests, and the units that each wants.
-- Returns for each request whether it was granted, and the units missing after it.
local reply, n, j = {}, 0, 1
for _, key in ipairs(KEYS) do
  local spec, a, b, cap = ARGV[j], ARGV[j + 1] + 0, ARGV[j + 2] + 0, ARGV[j + 3] + 0
  local count = ARGV[j + 4] + 0
  j = j + 4
  -- The usual case: a short form by the same limit, or none.
  local v = redis.call('GET', key)
  local full, d, st, dirty = v and instant(v)
  if not v then
    d = 0
  elseif full and string.sub(v, 8, 7 + #spec) == spec then
    d, dirty = missing(full, a, fixed(v, 8 + #spec, #v), cap)
  else
    st = load(key, spec, a, b, cap)
    d, dirty = held(st, b), st.dirty
  end
  local before = d
  for i = 1, count do
    local need, ok = ARGV[j + i] + 0, 1
    if need > 0 and d + need > cap then ok = 0 else d = d + need end
    reply[n + 1], reply[n + 2] = ok, d
    n = n + 2
  end
  j = j + count + 1
  if d > before or dirty then
    if st then
      take(st, d - before, a)
    else
      st = {d = d, e = 0, q = 0, h = 0, s = 0}
    end
    store(key, st, spec, a, b, cap)
  end
end
return reply
