"""Leases: calls that Redis lends to one proxy for a moment, so that they need not wait for it.

A lease takes its calls out of the tenant's bucket when it is given, so however many proxies
hold one, together they allow no more than the bucket had. It ends after `LIFE`; what was not
used by then is lost, which is why only a proxy borrows whose calls come in quick succession,
no more than twice what it has lately used, and never more than a tenth of what is left.

  the bucket has   a busy proxy borrows
  600              60
  25               2
  9                none: each call asks Redis, as it does without leases
"""

from dataclasses import dataclass

LIFE = 2.0  # seconds
# Seconds for a tenant with a budget of tokens, which is looked at when Redis is asked
LIFE_WITH_BUDGET = 0.25
MOST = 64  # calls of one lease
OVER_BUDGET = 2  # first result of SCRIPT

# One question to Redis. KEYS: the tenant's bucket, its tokens of the day. ARGV: calls a
# millisecond, the bucket's capacity, tokens a day (0: no limit), the debt, the proxy, whether
# a call waits (1 or 0), the calls that the proxy wants in its lease (0: leave it alone) and
# those that it has in it, and how long it may last (ms).
#
# Takes the debt and the call from the bucket unless the day's tokens are spent, then the
# lease. Time is Redis's own, so the proxies' clocks do not matter. Calls that are lent count
# towards the capacity for as long as they may be used: a bucket that filled up meanwhile
# would be larger by them. Gives: 1, 0, or 2 where the tokens are spent; the calls left;
# milliseconds until there is one; the tokens spent; the calls lent, and how many of those
# that the proxy has it may keep.
SCRIPT = """
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local rate, capacity, budget, debt = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local proxy, needed, wanted, held, life = 'l:' .. ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local spent = 0
for _, told in ipairs(redis.call('HVALS', KEYS[2])) do spent = spent + tonumber(told) end
local tokens, at, lent, ending, kept = capacity, now, 0, {}, 0
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  local name, value = fields[i], fields[i + 1]
  if name == 't' then tokens = tonumber(value)
  elseif name == 'a' then at = tonumber(value)
  elseif string.sub(name, 1, 2) == 'l:' then
    local calls, ends = string.match(value, '^(%d+) (%d+)$')
    calls, ends = tonumber(calls), tonumber(ends)
    lent = lent + calls
    -- One that lasts longer than any was lent before the clock went back.
    if ends <= now or ends > now + LONGEST then
      table.insert(ending, {math.min(ends, now), calls})
      redis.call('HDEL', KEYS[1], name)
    elseif name == proxy and wanted > 0 then
      kept = math.min(held, calls)
      lent = lent - calls + kept
    end
  end
end
table.sort(ending, function(a, b) return a[1] < b[1] end)
for _, lease in ipairs(ending) do
  tokens = math.min(capacity - lent, tokens + math.max(0, lease[1] - at) * rate)
  at, lent = math.max(at, lease[1]), lent - lease[2]
end
tokens = math.max(-capacity, math.min(capacity - lent, tokens + math.max(0, now - at) * rate) - debt)
local over = budget > 0 and spent >= budget
local allowed = not over and tokens >= needed
if allowed then tokens = tokens - needed end
local given = 0
if wanted > 0 and not over then
  given = math.max(0, math.min(wanted - kept, math.floor(tokens / 10)))
  tokens = tokens - given
  if kept + given > 0 then redis.call('HSET', KEYS[1], proxy, string.format('%d %d', kept + given, now + life))
  else redis.call('HDEL', KEYS[1], proxy) end
end
redis.call('HSET', KEYS[1], 't', tostring(tokens), 'a', string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil(capacity / rate + life) + 1000)
if over then return {2, 0, 86400000 - now % 86400000, spent, 0, 0} end
return {allowed and 1 or 0, math.floor(tokens), allowed and 0 or math.ceil((1 - tokens) / rate), spent, given, kept}
""".replace("LONGEST", f"{LIFE * 1000:.0f}")


@dataclass(slots=True)
class Lease:
    """The calls that one proxy has of one tenant, and may allow `until` a time.

    `asking`: a renewal is under way.
    """

    left: int = 0
    until: float = 0.0
    used: int = (
        0  # calls since the last renewal was asked for, or since none came for LIFE
    )
    last: float = 0.0  # when the last call came
    wanted: int = 0  # by the last renewal
    asking: bool = False

    def take(self, now: float) -> bool:
        """Whether a call may pass without asking Redis; then it is counted."""
        if now - self.last > LIFE:
            self.used = 0
        self.used, self.last = self.used + 1, now
        if self.left < 1 or now >= self.until:
            return False
        self.left -= 1
        return True

    def is_due(self, now: float, life: float) -> bool:
        """Whether it should be renewed while calls still pass: it is nearly used up, or
        soon over.
        """
        return self.is_busy and (
            self.left <= self.wanted // 4 or now > self.until - life / 2
        )

    @property
    def is_busy(self) -> bool:
        """Whether it should be renewed at all: calls come in quick succession, and no renewal is under way."""
        return self.used > 1 and not self.asking

    def ask(self, now: float) -> tuple[int, int]:
        """Begin a renewal: the calls wanted, twice as many as were used since the last
        one, and those that it has.
        """
        self.asking = True
        self.wanted, self.used = min(MOST, 2 * self.used), 0
        return self.wanted, self.left if now < self.until else 0

    def renew(self, held: int, given: int, kept: int, until: float) -> None:
        """The answer to a renewal. Of the calls `held` when it was asked for, those that
        Redis does not know any more are gone.
        """
        self.left = max(0, self.left - (held - kept)) + given if held else given
        self.until = until
