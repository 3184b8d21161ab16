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
--   varints  0 and a, if a is not 1; then b as 16 * m + k for m * 10^k; then the burst in tokens
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

-- short returns the short form of a bucket that lacks d units, and the instant at which it is full.
local function short(spec, a, d)
  local r = d % a
  local full = now + (d - r) / a
  local c7 = full % 256
  local n = (full - c7) / 256
  local c6 = n % 256
  n = (n - c6) / 256
  local c5 = n % 256
  n = (n - c5) / 256
  local c4 = n % 256
  n = (n - c4) / 256
  local c3 = n % 256
  n = (n - c3) / 256
  local c2 = n % 256
  local v = string.char((n - c2) / 256, c2, c3, c4, c5, c6, c7) .. spec
  if r == 0 then return v, full end
  local tail = ''
  while r > 0 do
    local c = r % 256
    r = (r - c) / 256
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

-- expiry returns in how many milliseconds a bucket may be forgotten that is full at an instant. The
-- clock of expiry counts milliseconds and may be behind by one.
local function expiry(full) return math.ceil(math.max(full - now, hold) / 1000) + 1 end
