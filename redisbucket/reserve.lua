-- Takes tokens now, or a place behind all who wait. ARGV: the limit, units wanted, most microseconds to wait or -1.
-- Returns 0 for done, 1 for too late, 2 for never; the units missing; and what cancel.lua has to be told.
local spec, a, b, cap = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local need, most = tonumber(ARGV[5]), tonumber(ARGV[6])
local st = settle(KEYS[1], spec, a, b, cap)
local answer, d = 0, st.d + need
if d > cap then
  if a == 0 or d > huge then
    answer = 2
  elseif most >= 0 and d - cap > most * a then
    answer = 1
  else
    st.s = sleeping(st, cap) and math.min(st.s, cap - need) or cap - need
    st.g, st.f, st.m = st.g or now, math.max(st.f or 0, d), st.m or 0
  end
end
if answer == 0 then st.d = d end
if answer == 0 or st.dirty then store(KEYS[1], st, spec, a) end
return {answer, st.d, now, st.g or 0, st.m or 0}
