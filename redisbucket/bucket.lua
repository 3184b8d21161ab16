-- convert makes the state one of another limit: the tokens there are stay, as far as there is room for them, and so does a
-- debt, rounded down. Places in the queue are forgotten, and all who sleep are taken to have no room beside them.
local function convert(st, ob, oc, b, cap)
  local left = oc - st.d
  local whole = math.floor(left / ob)
  local rest = left - whole * ob
  local part = math.floor(rest * b / ob)
  if rest * b > huge then part = math.max(math.floor(rest / ob * b) - 1, 0) end
  st.d = math.min(math.max(cap - whole * b - part, 0), huge)
  if st.g then st.g, st.f, st.s, st.m = st.g + 1, st.d, 0, 0 end
  st.dirty = true
end

-- settle brings a state up to now, and to the limit. Its field dirty asks for it to be written though nothing is taken: a
-- time in the future would stand still for as long as the clock needs to get there, and an old limit would go on refilling
-- at its own rate.
local function settle(key, spec, a, b, cap)
  local v = redis.call('GET', key)
  if not v then return {d = 0} end
  local oa, ob, oc, sec, usec, d, more
  if string.sub(v, 1, #spec) == spec then
    oa, sec, usec, d, more = a, string.match(v, '^(%d+) (%d+) (%d+)(.*)$', #spec + 1)
  else
    oa, ob, oc, sec, usec, d, more = string.match(v, '^1 (%d+) (%d+) (%d+) (%d+) (%d+) (%d+)(.*)$')
  end
  if not d then error('redisbucket: the key ' .. key .. ' holds something else than a bucket', 0) end
  local st, t = {d = tonumber(d)}, sec * 1000000 + usec
  if more ~= '' then
    local g, f, s, m = string.match(more, '^ (%d+) (%d+) (%d+) (%d+)$')
    st.g, st.f, st.s, st.m = tonumber(g), tonumber(f), tonumber(s), tonumber(m)
  end
  if t > now then
    t, st.g, st.dirty = now, st.g and st.g + 1, true
  end
  local refill = oa * (now - t) -- beyond 2^53 it is inexact, and more than d either way
  st.d = math.max(st.d - refill, 0)
  if st.g then st.f = math.max(st.f - refill, 0) end
  if ob then convert(st, tonumber(ob), tonumber(oc), b, cap) end
  return st
end

-- store writes the state down, until it is full.
local function store(key, st, spec, a)
  if st.d <= 0 then return redis.call('DEL', key) end
  local v = written(spec, st.d)
  if st.g then
    if st.m > huge / 2 then st.g, st.m = st.g + 1, 0 end
    v = v .. string.format(' %.0f %.0f %.0f %.0f', st.g, st.f, st.s, st.m)
  end
  if a == 0 then return redis.call('SET', key, v) end
  return redis.call('SET', key, v, 'PX', expiry(st.d, a))
end

-- sleeping tells whether somebody sleeps who was promised a time.
local function sleeping(st, cap) return st.g and st.f > cap end

-- giveback makes x units free again. Moving everything above them down is the same as if it had been taken lower from the
-- start, unless somebody sleeps who was promised a time: then only by as much as is between the place and what has been
-- refilled at that time. More would let somebody else in beside them, and with them exceed the burst.
local function giveback(st, x, cap)
  if sleeping(st, cap) then
    x = math.min(x, st.s)
    st.s = st.s - x
  end
  x = math.min(x, st.d)
  st.d = st.d - x
  if st.g then st.m = st.m + x end
  return x
end
