-- Makes wrk send at a fixed rate; by itself it sends as fast as it is answered.
-- `wrk -s rate.lua URL -- REQUESTS_PER_SECOND`

local ffi = require('ffi')
ffi.cdef('typedef struct { long s, ns; } timespec; int clock_gettime(int clock, timespec *time);')
local CLOCK_MONOTONIC = 1
local time = ffi.new('timespec')

local function milliseconds()
  ffi.C.clock_gettime(CLOCK_MONOTONIC, time)
  return tonumber(time.s) * 1000 + tonumber(time.ns) / 1e6
end

local interval, due

function init(args)
  interval = 1000 / tonumber(args[1])
  due = milliseconds()
end

-- wrk asks before each request how long to wait.
function delay()
  due = due + interval
  return math.max(0, due - milliseconds())
end
