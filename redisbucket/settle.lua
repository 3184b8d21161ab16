-- Charges or refunds. ARGV: the limit, units charged, units refunded. Returns the units that are missing.
local spec, a, b, cap = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local st = settle(KEYS[1], spec, a, b, cap)
st.d = math.min(st.d + ARGV[5], huge)
giveback(st, tonumber(ARGV[6]), cap)
store(KEYS[1], st, spec, a)
return {st.d}
