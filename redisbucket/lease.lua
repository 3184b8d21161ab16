-- Takes tokens for a lease: most of them, or as many as there are, or none if that is less than the least. ARGV: the limit,
-- least and most, in tokens. Returns how many, and the units that are missing.
local spec, a, b, cap = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local st = settle(KEYS[1], spec, a, b, cap)
local n = math.max(math.min(math.floor((cap - st.d) / b), tonumber(ARGV[6])), 0)
if n < tonumber(ARGV[5]) then n = 0 end
st.d = st.d + n * b
if n > 0 or st.dirty then store(KEYS[1], st, spec, a) end
return {n, st.d}
