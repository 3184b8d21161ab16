-- Takes from every key or from none. ARGV: the limit and the units wanted, of each key.
-- Returns whether, and of each key the units that are missing.
local all, reply, states = 1, {0}, {}
for i, key in ipairs(KEYS) do
  local j = 5 * i
  local cap, need = tonumber(ARGV[j - 1]), tonumber(ARGV[j])
  local st = settle(key, ARGV[j - 4], tonumber(ARGV[j - 3]), tonumber(ARGV[j - 2]), cap)
  if need > 0 and st.d + need > cap then all = 0 end
  states[i], st.need = st, need
end
for i, key in ipairs(KEYS) do
  local st = states[i]
  if all == 1 and st.need > 0 then
    st.d, st.dirty = st.d + st.need, true
  end
  if st.dirty then store(key, st, ARGV[5 * i - 4], tonumber(ARGV[5 * i - 3])) end
  reply[i + 1] = st.d
end
reply[1] = all
return reply
