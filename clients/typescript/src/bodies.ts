/** Bodies of requests: idempotency keys, usage, amounts. */

import { type Amount, credits, micro } from "./amounts.ts";
import type { Call, Json } from "./calls.ts";
import type { Keyed } from "./fields.ts";
import { type Usage, isSdkObject, usageOf, withoutCached } from "./usage.ts";

/** A POST that moves credits or money: it has an idempotency key, a new one unless the caller gave one. */
export function once(path: string, fields: object, more: Json = {}): Call {
  const { idempotencyKey = crypto.randomUUID(), ...body } = fields as Keyed;
  return { method: "POST", path, body: { ...body, ...more }, key: idempotencyKey };
}

/** The call with `usage` in its body; usage of an SDK has a fallback without separate cached tokens. */
export function withUsage(call: Call, usage: Usage): Call {
  const counted = usageOf(usage);
  const body = { ...call.body, usage: counted };
  const fallback = isSdkObject(usage) && counted.cached_input_tokens ? { ...body, usage: withoutCached(counted) } : undefined;
  return { ...call, body, fallback };
}

/** Amounts of credits as strings in plain decimal notation. */
export function plainAmounts(body: Json | undefined): Json | undefined {
  if (body === undefined) return undefined;
  const plain = { ...body };
  for (const name of ["credits", "below", "daily_limit", "monthly_limit"]) {
    if (plain[name] !== undefined && plain[name] !== null) plain[name] = credits(micro(plain[name] as Amount));
  }
  return plain;
}
