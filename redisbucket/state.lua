-- The other form of a bucket's state, other limits, and what is done with a state in memory; the
-- scripts that need all of it have short.lua in front.

-- varint returns the number at byte i of v, and the index behind it; nil if there is none.
local function varint(v, i)
  local n, unit = 0, 1
  while true do
    local c = string.byte(v, i)
    if not c then return nil end
    i = i + 1
    if c < 128 then return n + c * unit, i end
    n, unit = n + (c - 128) * unit, unit * 128
  end
end

-- parse reads either form. It returns the state as of now, by the limit it was written for, and
-- that limit; nil if v is neither.
local function parse(v)
  local full = instant(v)
  if full then
    local a, b, burst, i = 1
    b, i = varint(v, 8)
    if b == 0 then
      a, i = varint(v, i)
      if a then b, i = varint(v, i) end
    end
    if not b or b < 16 then return nil end
    b = math.floor(b / 16) * 10 ^ (b % 16)
    burst, i = varint(v, i)
    if not burst or burst == 0 or a == 0 or #v - i > 6 then return nil end
    local st = {e = 0, q = 0, h = 0, s = 0}
    st.d, st.dirty = missing(full, a, fixed(v, i, #v), b * burst)
    return st, a, b, b * burst
  end
  local a, b, burst, at, d, e, q, h, s =
    string.match(v, '^t (%d+) (%d+) (%d+) (%d+) (%-?%d+) (%d+) (%d+) (%d+) (%d+)$')
  if not s then return nil end
  a, b, at = tonumber(a), tonumber(b), tonumber(at)
  local st = {d = tonumber(d), e = tonumber(e), q = tonumber(q), h = tonumber(h), s = tonumber(s)}
  if at > now then -- the clock has stepped back: places in time mean nothing any more
    st.e, st.q, st.dirty = math.max(st.e - (at - now), 0), 0, true
    at = now
  end
  if st.q > 0 and st.h < now then st.q, st.dirty = 0, true end
  local least = 0
  if st.q > 0 then least = -math.min(a * slack, huge) end
  st.d = math.max(st.d - a * (now - at), least) -- above 2^53 inexact, and more than d either way
  return st, a, b, b * tonumber(burst)
end

-- convert makes a state that of another limit. The tokens that are there stay, as far as the new
-- burst has room for them, and so does a debt.
local function convert(st, oa, ob, oc, a, b, cap)
  if oa > 0 then
    st.e = math.max(st.e, now + math.ceil(math.max(st.d, 0) / oa))
  elseif a > 0 then
    st.e = math.max(st.e, now + math.ceil(math.max(st.d, 0) / ob * b / a) + 1)
  end
  local left = oc - st.d
  local whole = math.floor(left / ob)
  local rest = left - whole * ob
  local part = math.floor(rest * b / ob)
  if rest * b > huge then part = math.max(math.floor(rest / ob * b) - 1, 0) end
  st.d = math.min(math.max(cap - whole * b - part, 0), huge)
  st.dirty = true
end

-- load returns the state of a bucket as of now, by the given limit.
local function load(key, spec, a, b, cap)
  local v = redis.call('GET', key)
  if not v then return {d = 0, e = 0, q = 0, h = 0, s = 0} end
  local st, oa, ob, oc = parse(v)
  if not st then error('redisbucket: the key ' .. key .. ' holds something else than a bucket', 0) end
  if oa ~= a or ob ~= b or oc ~= cap then convert(st, oa, ob, oc, a, b, cap) end
  return st
end

-- store writes a state down until it can be taken for full.
local function store(key, st, spec, a, b, cap)
  if st.q == 0 then st.d, st.h, st.s = math.max(st.d, 0), 0, 0 end
  if a > 0 and st.q == 0 and st.d <= cap then
    local v, full = short(spec, a, st.d)
    if st.e <= full and full < huge then
      return redis.call('SET', key, v, 'PX', string.format('%.0f', expiry(full)))
    end
  end
  local v = string.format('t %.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f', a, b, cap / b, now,
    st.d, st.e, st.q, st.h, st.s)
  if a == 0 then return redis.call('SET', key, v) end
  local full = now + math.ceil((math.max(st.d, 0) + st.q * b) / a)
  redis.call('SET', key, v, 'PX', string.format('%.0f', expiry(math.max(full, st.e, st.h))))
end

-- held returns the units that are missing for whoever comes now, behind all waiters.
local function held(st, b) return st.d + st.q * b end

-- take takes units that are there.
local function take(st, need, a)
  st.d, st.dirty = st.d + need, true
  if a > 0 and st.e > now then st.e = math.min(st.e + math.ceil(need / a), huge) end
end

-- A limiter's first call asks whether its user may run all that the scripts ever run, so that a
-- missing right shows at once and not when the first waiter comes.
if ARGV[#ARGV] == 'check' then
  local k = KEYS[1] .. '?'
  for _, try in ipairs({
    {'DEL', k}, {'ZADD', k, 1, 'x'}, {'ZRANGE', k, 0, 0}, {'ZREVRANGE', k, 0, 0},
    {'ZRANGEBYSCORE', k, 1, 1}, {'PEXPIRE', k, 1}, {'ZREM', k, 'x'}, {'GET', k},
    {'SET', k, 'x', 'PX', 1}, {'DEL', k},
  }) do
    local reply = redis.pcall(unpack(try))
    if type(reply) == 'table' and reply.err then
      error('redisbucket: the user may not run ' .. try[1] .. ' on keys like ' .. k ..
        ': see docs/redis.md for the rights that it needs (' .. reply.err .. ')', 0)
    end
  end
end
