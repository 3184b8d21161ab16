-- Takes as many tokens as there are, at most `most`, or none if they are fewer than `least`.
-- ARGV: the limit, least and most, in tokens. Returns how many, and the units missing after it.
local spec, a, b, cap = ARGV[1], ARGV[2] + 0, ARGV[3] + 0, ARGV[4] + 0
local st = load(KEYS[1], spec, a, b, cap)
local n = math.max(math.min(math.floor((cap - held(st, b)) / b), ARGV[6] + 0), 0)
if n < ARGV[5] + 0 then n = 0 end
if n > 0 then take(st, n * b, a) end
if st.dirty then store(KEYS[1], st, spec, a, b, cap) end
return {n, held(st, b)}
