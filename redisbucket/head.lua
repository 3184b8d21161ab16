-- A bucket is one string: "1 a b cap sec usec d", and once somebody has waited for it, " g f s m" behind that. All of them are
-- integers below 2^53, which a double holds exactly.
--
--   a/b  tokens that refill in a microsecond; everything below counts in units of 1/b tokens, of which a come every microsecond
--   cap  the burst
--   sec  the server's time of this state, with usec
--   d    units that are missing at that time; above cap they are owed to those who wait, or a debt
--   g    which life of the bucket this is: it tells the places of waiters in it from those in another
--   f    what d was when the last waiter queued, less the refill since: above cap, somebody still sleeps
--   s    by how much all who sleep may be moved down without having been promised too early a time
--   m    by how much they have been moved down already
--
-- A bucket that is full has no key. Refill is exact: a units a microsecond, no rounding, however often it is written down.
--
-- What comes before sec is what the limit looks like, and is handed in ready-made: it need neither be read nor be printed as
-- long as the limit stays, and that is a quarter of what a decision costs.
local huge = 9007199254740991
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- written returns the state that has d units missing and no sleepers.
local function written(spec, d)
  if d < 1e14 then return spec .. time[1] .. ' ' .. time[2] .. ' ' .. d end -- .. prints 14 digits
  return spec .. time[1] .. ' ' .. time[2] .. ' ' .. string.format('%.0f', d)
end

-- expiry returns in how many milliseconds d units have refilled, rounded up: the clock of expiry counts milliseconds, and
-- may be behind by one.
local function expiry(d, a) return string.format('%.0f', math.ceil(d / a / 1000) + 1) end
