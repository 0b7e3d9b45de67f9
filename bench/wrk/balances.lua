-- wrk: GET /balance of random accounts. KEY and ACCOUNTS as in charges.lua.
function init()
  accounts = tonumber(os.getenv("ACCOUNTS"))
  headers = { ["Authorization"] = "Bearer " .. os.getenv("KEY") }
end

function request()
  local path = string.format("/api/v1/balance?account=acct_0000000000007000800%013d", math.random(accounts))
  return wrk.format("GET", path, headers)
end
