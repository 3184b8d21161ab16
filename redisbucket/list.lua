-- The waiting list: a sorted set that exists while somebody waits. The score of an entry is its
-- place, which is about the server's time at which the waiter came. The entry is "lapse tokens id":
-- the instant after which a waiter that has not asked again is taken for dead, what it wants, and
-- a name that the waiter made up.
--
-- No token is taken before a waiter is granted it, so an entry is worth nothing but precedence: if
-- it is lost, the waiter enters the list again at its old place.
local look = 1000 -- entries looked at in one call

-- entry reads an entry.
local function entry(m)
  local lapse, tokens, id = string.match(m, '^(%d+) (%d+) (.*)$')
  return tonumber(lapse), tonumber(tokens), id
end

-- find returns the entry of a waiter, or nil. A waiter that was never told its place has place 0.
local function find(list, place, id)
  local some
  if place > 0 then
    place = string.format('%.0f', place)
    some = redis.call('ZRANGEBYSCORE', list, place, place)
  else
    some = redis.call('ZREVRANGE', list, 0, look - 1)
  end
  for _, m in ipairs(some) do
    local _, _, other = entry(m)
    if other == id then return m end
  end
  return nil
end

-- remove takes an entry off the list.
local function remove(st, list, m)
  local _, tokens = entry(m)
  redis.call('ZREM', list, m)
  st.q, st.dirty = math.max(st.q - tokens, 0), true
end

-- tally removes the entries among some that have lapsed, and returns what the others want.
local function tally(st, list, some)
  local sum = 0
  for _, m in ipairs(some) do
    local lapse, tokens = entry(m)
    if lapse < now then remove(st, list, m) else sum = sum + tokens end
  end
  return sum
end

-- ahead returns the tokens that waiters in front of a place want. A newcomer has place 0.
local function ahead(st, list, place, tokens, mine)
  if place == 0 then
    tally(st, list, redis.call('ZRANGE', list, 0, 15))
    return st.q
  end
  local before = '(' .. string.format('%.0f', place)
  local some = redis.call('ZRANGEBYSCORE', list, '-inf', before, 'LIMIT', 0, look)
  local sum = tally(st, list, some)
  if #some < look then return sum end
  return mine and st.q - tokens or st.q -- too many to count: as if everybody were in front
end
