-- Charges and refunds. ARGV: the limit, units charged, units refunded. Returns the units missing.
local spec, a, b, cap = ARGV[1], ARGV[2] + 0, ARGV[3] + 0, ARGV[4] + 0
local st = load(KEYS[1], spec, a, b, cap)
local d, charge = st.d, ARGV[5] + 0
if charge > 0 then take(st, math.min(charge, huge - math.max(d, 0)), a) end
st.d = math.max(st.d - ARGV[6], math.min(d, 0))
store(KEYS[1], st, spec, a, b, cap)
return {held(st, b)}
