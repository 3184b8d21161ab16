-- Takes tokens at a waiter's turn, or tells it when to ask again. KEYS: the bucket, the waiting
-- list. ARGV: the limit, the tokens wanted, the waiter's place (0 for a newcomer), its name, and
-- the most microseconds that it can wait or -1.
-- Returns an answer, in how many microseconds its turn comes and in how many it has to ask again,
-- and its place. The answer is 0 for granted, 1 for too late, 2 for never, 3 for wait.
local spec, a, b, cap = ARGV[1], ARGV[2] + 0, ARGV[3] + 0, ARGV[4] + 0
local tokens, place, id, most = ARGV[5] + 0, ARGV[6] + 0, ARGV[7], ARGV[8] + 0
local list, need = KEYS[2], tokens * b
local st = load(KEYS[1], spec, a, b, cap)
if st.q == 0 then redis.call('DEL', list) end -- of waiters who have all lapsed, or of another life

local mine = st.q > 0 and place > 0 and find(list, place, id)
local front = st.q > 0 and ahead(st, list, place, tokens, mine) or 0
local lacking = st.d + front * b + need - cap
local answer, turn, again = 0, 0, 0
if lacking > 0 or need > cap then
  turn = a > 0 and math.ceil(lacking / a) or 0
  if a == 0 or need > cap or held(st, b) + need > huge then
    answer = 2
  elseif most >= 0 and turn > most then
    answer = 1
  else
    answer = 3
  end
end

if mine then remove(st, list, mine) end
if answer == 0 then
  take(st, need, a)
elseif answer == 3 then
  if place == 0 then place = math.max(now, st.s + 1) end
  -- A waiter asks at its turn, and before that each time its wait has doubled: those in front may
  -- have left. A place lapses if its waiter is late; earlier than its turn that costs nobody
  -- anything, so there it may be later.
  local lapse = turn + slack
  again = turn
  local doubled = math.max(now - place, 100000)
  if doubled + 50000 < turn then
    again = doubled
    lapse = again + again / 2 + slack
  end
  lapse = math.floor(now + lapse)
  st.q, st.s, st.h, st.dirty = st.q + tokens, math.max(st.s, place), math.max(st.h, lapse), true
  redis.call('ZADD', list, string.format('%.0f', place), string.format('%.0f %.0f ', lapse, tokens) .. id)
  redis.call('PEXPIRE', list, string.format('%.0f', math.ceil((st.h - now) / 1000) + 1000))
end
if st.dirty then store(KEYS[1], st, spec, a, b, cap) end
return {answer, turn, again, place}
