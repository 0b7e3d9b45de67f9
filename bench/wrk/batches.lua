-- wrk: POST /charges/batch with 1,000 uses of random accounts. KEY, ACCOUNTS, RUN as in charges.lua.
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
  wrk.method = "POST"
  headers = { ["Authorization"] = "Bearer " .. os.getenv("KEY"), ["Content-Type"] = "application/json" }
end

function request()
  sent = sent + 1
  local uses = {}
  for place = 1, 1000 do
    uses[place] = string.format(
      '{"idempotency_key":"%s-%d-%d-%d","account":"acct_0000000000007000800%013d","service":"gpt-4o",'
        .. '"usage":{"input_tokens":%d,"output_tokens":640},"conversation":"c-81"}',
      run, number, sent, place, math.random(accounts), math.random(1, 2000))
  end
  return wrk.format(nil, "/api/v1/charges/batch", headers, '{"data":[' .. table.concat(uses, ",") .. "]}")
end
