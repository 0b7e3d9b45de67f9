/** Uses the types that openapi-typescript has generated; `tsc --strict` checks this file with them. */
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

const [address, key] = process.argv.slice(2);
if (!address || !key) throw new Error("the address and the key are missing");
const portal = createClient<paths>({ baseUrl: address, headers: { Authorization: `Bearer ${key}` } });
const service = "document-question"; // one credit for each use

function is(actual: unknown, expected: unknown): void {
  if (actual !== expected) throw new Error(`${actual} is not ${expected}`);
}

function keyed(name: string): { header: { "Idempotency-Key": string } } {
  return { header: { "Idempotency-Key": name } };
}

const opened = await portal.POST("/api/v1/accounts", { body: { external_id: "generated-ts" } });
if (!opened.data) throw new Error(opened.error.detail);
const account = opened.data.id;
const given = await portal.POST("/api/v1/accounts/{account}/grants", {
  params: { path: { account }, ...keyed("give") },
  body: { credits: "10", kind: "bonus" },
});
is(given.data?.remaining, "10");

const charged = await portal.POST("/api/v1/charges", {
  params: keyed("call-1"),
  body: { service, usage: { uses: 2 }, account },
});
const charge: components["schemas"]["Charge"] | undefined = charged.data;
is(charge?.credits, "2");

const held = await portal.POST("/api/v1/holds", {
  params: keyed("hold-1"),
  body: { service, usage: { uses: 5 }, account, expires_in: 600 },
});
if (!held.data) throw new Error(held.error.detail);
const captured = await portal.POST("/api/v1/holds/{hold}/capture", {
  params: { path: { hold: held.data.id }, ...keyed("capture-1") },
  body: { usage: { uses: 3 } },
});
is(captured.data?.hold, held.data.id);

const refused = await portal.POST("/api/v1/charges", {
  params: keyed("call-2"),
  body: { service, usage: { uses: 1000 }, account },
});
if (refused.error?.code !== "insufficient_credits") throw new Error("the charge was not refused");
const { needed, ways_on } = refused.error;
is(needed, "1000");
console.log(...ways_on.map((way) => (way.kind === "wait" ? way.until : way.url)));

const batch = await portal.POST("/api/v1/charges/batch", {
  body: { account, data: [{ service: "nothing", usage: { uses: 1 }, idempotency_key: "item-1" }] },
});
const [item] = batch.data?.data ?? [];
is(item && "error" in item && item.error.code, "unknown_service");

const balance = await portal.GET("/api/v1/balance", { params: { query: { account } } });
console.log(balance.data?.available);
