-- Takes as many tokens as there are. ARGV: the limit, most tokens. Returns how many.
local spec, a, b, cap, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local st = settle(KEYS[1], spec, a, b, cap)
local n = math.max(math.min(math.floor((cap - st.d) / b), most), 0)
st.d = st.d + n * b
if n > 0 or st.dirty then store(KEYS[1], st, spec, a) end
return {n}
