-- Takes a waiter off the list, or gives back what it was granted and did not hear of. KEYS: the
-- bucket, the waiting list. ARGV: the limit, the waiter's place (0 if it was never told one), its
-- name, and the units that it was granted. Returns whether the list or the bucket has changed.
local spec, a, b, cap = ARGV[1], ARGV[2] + 0, ARGV[3] + 0, ARGV[4] + 0
local st = load(KEYS[1], spec, a, b, cap)
local mine = st.q > 0 and find(KEYS[2], ARGV[5] + 0, ARGV[6])
if mine then remove(st, KEYS[2], mine) end
local back = math.min(ARGV[7] + 0, math.max(st.d, 0))
if back > 0 then st.d, st.dirty = st.d - back, true end
if st.dirty then store(KEYS[1], st, spec, a, b, cap) end
return {(mine or back > 0) and 1 or 0}
