-- wrk: GET /balance of random accounts.
dofile(os.getenv("REQUESTS"))

function request()
  local path = string.format("/api/v1/balance?account=acct_0000000000007000800%013d", math.random(accounts))
  return wrk.format("GET", path, headers)
end
