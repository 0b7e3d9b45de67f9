-- wrk: what the scripts have in common. Each begins with dofile(os.getenv("REQUESTS")).
-- KEY: the platform key; ACCOUNTS: how many accounts; RUN: differs from run to run.
local threads = 0

function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end

function init()
  sent = 0
  accounts = tonumber(os.getenv("ACCOUNTS"))
  run = os.getenv("RUN")
  math.randomseed(number * 7919 + tonumber(run))
  headers = { ["Authorization"] = "Bearer " .. os.getenv("KEY"), ["Content-Type"] = "application/json" }
end

-- The account, service and usage of a charge, as members of a JSON object.
function use()
  return string.format(
    '"account":"acct_0000000000007000800%013d","service":"gpt-4o",'
      .. '"usage":{"input_tokens":%d,"output_tokens":640},"conversation":"c-81"',
    math.random(accounts), math.random(1, 2000))
end
