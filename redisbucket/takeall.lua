-- Takes from every bucket or from none. KEYS: a key for each. ARGV: for each the limit (spec, a,
-- b, cap) and the units wanted. Returns whether it did, and for each the units missing.
local all, reply, states = 1, {0}, {}
for i, key in ipairs(KEYS) do
  local j = 5 * i
  local a, b, cap, need = ARGV[j - 3] + 0, ARGV[j - 2] + 0, ARGV[j - 1] + 0, ARGV[j] + 0
  local st = load(key, ARGV[j - 4], a, b, cap)
  if need > 0 and held(st, b) + need > cap then all = 0 end
  states[i] = st
end
for i, key in ipairs(KEYS) do
  local st, j = states[i], 5 * i
  local a, b, cap, need = ARGV[j - 3] + 0, ARGV[j - 2] + 0, ARGV[j - 1] + 0, ARGV[j] + 0
  if all == 1 and need > 0 then take(st, need, a) end
  if st.dirty then store(key, st, ARGV[j - 4], a, b, cap) end
  reply[i + 1] = held(st, b)
end
reply[1] = all
return reply
