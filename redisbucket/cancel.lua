-- Gives a place back. ARGV: the limit, units; and of its reservation d, now, g and m. Returns the units that are free again.
local spec, a, b, cap, need = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local st = settle(KEYS[1], spec, a, b, cap)
local x = 0
if st.g == tonumber(ARGV[8]) then
  -- Where the place is now, at the lowest. What the refill has passed already cannot be given back.
  local top = ARGV[6] - a * (now - ARGV[7]) - (st.m - ARGV[9])
  local bottom = math.max(top - need, 0)
  if top == st.d then -- the last in the queue: nobody is above
    x = top - bottom
    st.d = bottom
  elseif top < st.d and top > bottom then
    x = giveback(st, top - bottom, cap)
  end
end
if x > 0 or st.dirty then store(KEYS[1], st, spec, a) end
return {x}
