-- wrk: POST /charges/batch with 1,000 uses of random accounts.
dofile(os.getenv("REQUESTS"))

function request()
  sent = sent + 1
  local uses = {}
  for place = 1, 1000 do
    uses[place] = string.format('{"idempotency_key":"%s-%d-%d-%d",%s}', run, number, sent, place, use())
  end
  return wrk.format("POST", "/api/v1/charges/batch", headers, '{"data":[' .. table.concat(uses, ",") .. "]}")
end
