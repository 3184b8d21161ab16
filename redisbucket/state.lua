-- The state of a bucket: what every script reads first and writes last.
--
-- A limit is a units a microsecond and a burst; a token is b units, and cap is the burst in units.
-- All of them are integers below 2^53, which a double holds exactly. The state in memory is
--
--   d      units missing from a full bucket; above cap it is a debt. While there are waiters it may
--          be negative: refill that a waiter may still use if it asks up to `slack` late.
--   e      no bucket may be taken for full before this instant, whatever its burst
--   q      tokens that waiters have asked for; they are in the waiting list, a sorted set
--   h      the instant at which the last waiter's place lapses
--   s      the newest place in the waiting list
--   dirty  the state has to be written although nothing was taken
--
-- On the server it is one string in one of two forms. The short form, of every bucket with
-- neither waiters nor debt nor another limit's past, is binary:
--
--   7 bytes  the instant at which the bucket is full, in microseconds, big endian
--   varint   0 and a, if a is not 1; then b; then the burst in tokens
--   bytes    what is missing beyond that instant, in units below a, big endian; none for zero
--
-- The other form is text: "t a b burst time d e q h s".
--
-- A missing key is a full bucket. A key stays for `hold` after it was last written, so that a
-- limit that is raised finds the tokens that were there and not a full bucket of the new burst.
local huge = 9007199254740991
local slack = 10000
local hold = 10000000
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- fixed returns the big-endian number in v from byte i to byte j.
local function fixed(v, i, j)
  local n = 0
  for k = i, j do n = n * 256 + string.byte(v, k) end
  return n
end

-- instant returns the number in the first 7 bytes of v; nil if v is no short form.
local function instant(v)
  local c1, c2, c3, c4, c5, c6, c7 = string.byte(v, 1, 7)
  if not c7 or c1 > 31 then return nil end
  return (((((c1 * 256 + c2) * 256 + c3) * 256 + c4) * 256 + c5) * 256 + c6) * 256 + c7
end

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

-- digit returns n modulo 256 as a byte, and n / 256.
local function digit(n)
  local rest = math.floor(n / 256)
  return n - rest * 256, rest
end

-- short returns the short form of a bucket that lacks d units, and the instant at which it is full.
local function short(spec, a, d)
  local passed = math.floor(d / a)
  local r = d - passed * a
  if r < 0 then passed, r = passed - 1, r + a end -- the division rounded up
  local full = now + passed
  local c1, c2, c3, c4, c5, c6, c7, n
  c7, n = digit(full)
  c6, n = digit(n)
  c5, n = digit(n)
  c4, n = digit(n)
  c3, n = digit(n)
  c2, c1 = digit(n)
  local v = string.char(c1, c2, c3, c4, c5, c6, c7) .. spec
  if r == 0 then return v, full end
  local tail = ''
  while r > 0 do
    local c
    c, r = digit(r)
    tail = string.char(c) .. tail
  end
  return v .. tail, full + 1
end

-- missing returns what a bucket in short form lacks. It never lacks more than a burst, unless the
-- clock has stepped back; then it is as good as empty now, and that has to be written down.
local function missing(full, a, r, cap)
  local d = a * (full - now) + r
  if d <= 0 then return 0, nil end
  if d > cap then return cap, true end
  return d, nil
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
    if not b or b == 0 then return nil end
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
      local ms = math.ceil(math.max(full - now, hold) / 1000) + 1
      return redis.call('SET', key, v, 'PX', string.format('%.0f', ms))
    end
  end
  local v = string.format('t %.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f', a, b, cap / b, now,
    st.d, st.e, st.q, st.h, st.s)
  if a == 0 then return redis.call('SET', key, v) end
  local stay = math.max(math.ceil((math.max(st.d, 0) + st.q * b) / a), st.e - now, st.h - now, hold)
  redis.call('SET', key, v, 'PX', string.format('%.0f', math.ceil(stay / 1000) + 1))
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
