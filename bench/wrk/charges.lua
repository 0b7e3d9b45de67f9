-- wrk: POST /charges of random accounts, each request with an idempotency key of its own.
dofile(os.getenv("REQUESTS"))

function request()
  sent = sent + 1
  headers["Idempotency-Key"] = run .. "-" .. number .. "-" .. sent
  return wrk.format("POST", "/api/v1/charges", headers, "{" .. use() .. "}")
end
