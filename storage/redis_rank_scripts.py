"""What Redis runs for ``RedisRanks``: each call is one script, so nobody sees half of one.

KEYS[1], the order: a zset of ``key owner`` (see ``order_key``) with the score as a double, which is rounded but keeps
the order; where it cannot tell two apart, Redis sorts by the members' bytes, and they can.
KEYS[2], the owners: a hash of owner to ``count removed key name``, with three marks that no owner can be called:
``!token`` of the fill, ``!removed`` how many are, ``!through`` the watermark, only in a complete table.

Either key may be evicted. Without the hash there are no marks. Without the zset it has fewer members than the hash has
owners that are not removed; puts never make up for one that is missing but by putting it.
"""

import hashlib

from msgspec import Struct


class Script(Struct, frozen=True):
    """A Lua script, which Redis knows by its digest once it has run it."""

    text: bytes
    digest: bytes


_COMMON = """
local order, owners = KEYS[1], KEYS[2]
local function whole()
  local mark = redis.call('HMGET', owners, '!through', '!removed')
  return mark[1] and mark[2]
    and redis.call('HLEN', owners) == redis.call('ZCARD', order) + tonumber(mark[2]) + 3 and mark[1]
end
local function ranked(row) return row and string.byte(row, 9) == 0 end
local function member(row, owner) return string.sub(row, 10, 33) .. owner end
local function rank(row, owner) return (redis.call('ZRANK', order, member(row, owner)) or -1) + 1 end
"""


def _script(body: str) -> Script:
    text = (_COMMON + body).encode()
    return Script(text, hashlib.sha1(text, usedforsecurity=False).hexdigest().encode())


PUT = _script("""
local function newer(new, old)  -- a double does not hold an int64, so by halves
  local new_high, new_low = struct.unpack('>I4I4', new)
  local old_high, old_low = struct.unpack('>I4I4', old)
  return new_high > old_high or (new_high == old_high and new_low > old_low)
end
local ranking = ARGV[1] == '1' and whole()
local removed = 0
local answer = {ranking and 1 or 0}
for i = 2, #ARGV, 3 do
  local owner, score, new = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local old = redis.call('HGET', owners, owner)
  local was, is = 0, 0
  if ranking and ranked(old) then was = rank(old, owner) end
  is = was
  if not old or newer(new, old) then
    local moved = not (ranked(old) and ranked(new) and member(old, owner) == member(new, owner))
    if ranked(old) and moved then redis.call('ZREM', order, member(old, owner)) end
    if ranked(new) and moved then redis.call('ZADD', order, score, member(new, owner)) end
    redis.call('HSET', owners, owner, new)
    if old and not ranked(old) then removed = removed - 1 end
    if not ranked(new) then removed = removed + 1 end
    if ranking and moved then is = ranked(new) and rank(new, owner) or 0 end
  end
  if ranking then
    answer[#answer + 1] = is
    answer[#answer + 1] = was
  end
end
if removed ~= 0 then redis.call('HINCRBY', owners, '!removed', removed) end
return answer
""")

_WINDOW = """
local function window(start, limit)
  local answer = {redis.call('ZCARD', order)}
  local members = redis.call('ZRANGE', order, start, start + limit - 1)
  if #members == 0 then return answer end
  for i, name in ipairs(members) do members[i] = string.sub(name, 25) end
  for i, row in ipairs(redis.call('HMGET', owners, unpack(members))) do
    answer[#answer + 1] = start + i
    answer[#answer + 1] = members[i]
    answer[#answer + 1] = row
  end
  return answer
end
if not whole() then return false end
"""

TOP = _script(
    _WINDOW
    + """
return window(tonumber(ARGV[1]), tonumber(ARGV[2]))
"""
)

AROUND = _script(
    _WINDOW
    + """
local owner, limit = ARGV[1], tonumber(ARGV[2])
local row = redis.call('HGET', owners, owner)
local size = redis.call('ZCARD', order)
if not ranked(row) then return {size} end
local start = rank(row, owner) - 1 - math.floor(limit / 2)
return window(math.max(0, math.min(start, size - limit)), limit)
"""
)

OF = _script("""
if not whole() then return false end
local answer = {redis.call('ZCARD', order)}
if #ARGV == 0 then return answer end
for i, row in ipairs(redis.call('HMGET', owners, unpack(ARGV))) do
  local owner = ARGV[i]
  if ranked(row) then
    answer[#answer + 1] = rank(row, owner)
    answer[#answer + 1] = owner
    answer[#answer + 1] = row
  end
end
return answer
""")

BEGIN = _script("""
redis.call('UNLINK', order, owners)
redis.call('HSET', owners, '!token', ARGV[1], '!removed', 0)
return 1
""")

FINISH = _script("""
local token, through, nothing_lost = ARGV[1], ARGV[2], ARGV[3] == '1'
if redis.call('HGET', owners, '!token') ~= token then return 0 end
if whole() then return 1 end
if not nothing_lost or redis.call('HEXISTS', owners, '!through') == 1 then return 0 end
redis.call('HSET', owners, '!through', through)
if whole() then return 1 end
redis.call('HDEL', owners, '!through')
return 0
""")

THROUGH = _script("""
return whole()
""")

ADVANCE = _script("""
local expected, through, nothing_lost = ARGV[1], ARGV[2], ARGV[3] == '1'
local now = whole()
if not now then return 0 end
if now == through then return 1 end
if now ~= expected or not nothing_lost then return 0 end
redis.call('HSET', owners, '!through', through)
return 1
""")
