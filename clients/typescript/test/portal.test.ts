// The TypeScript client against a running portal (REFILL_URL, REFILL_KEY: a platform key), and the portal in memory,
// which gives the same outcomes.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiError, Client, InsufficientCredits, type BatchUse, type Event, micro } from "../src/index.ts";
import { FakePortal } from "../src/testing.ts";

const { REFILL_URL: url, REFILL_KEY: key } = process.env;
const skip = url && key ? false : "REFILL_URL and REFILL_KEY are not set";
const SERVICE = "document-question"; // one credit for each use

async function outcome(act: () => Promise<unknown>): Promise<unknown> {
  try {
    const result = await act();
    return (result as { credits?: string }).credits ?? result;
  } catch (error) {
    if (error instanceof ApiError) return [error.name, error.code];
    throw error;
  }
}

/** Moves of one account with 10 credits, with their outcomes and the credits available after each. */
async function story(client: Client, available: () => Promise<string> | string): Promise<unknown[]> {
  const use = (uses: number): BatchUse => ({ service: SERVICE, usage: { uses } });
  const held = await client.openHold(SERVICE, 4);
  const charge = await client.charge(SERVICE, { uses: 2 }, { idempotencyKey: "c" });
  const moves = [
    () => client.charge(SERVICE, { uses: 2 }, { idempotencyKey: "c" }),
    () => client.charge(SERVICE, { uses: 3 }, { idempotencyKey: "c" }),
    () => client.charge(SERVICE, { uses: 5 }),
    () => client.charge("no-such-service", { uses: 1 }),
    () => client.charge(SERVICE, { images: 1 }),
    () => client.captureHold(held.id, { uses: 3 }),
    () => client.releaseHold(held.id),
    () => client.reverseCharge(charge.id, { credits: "0.5" }),
    () => client.reverseCharge(charge.id, { credits: 2 }),
    () => client.estimate(SERVICE, { uses: 7 }),
    async () => (await client.chargeBatch([use(1), use(100), use(2)])).map((item) => item.status),
    () => client.getHold("hold_none"),
  ];
  const outcomes: unknown[] = [];
  for (const move of moves) outcomes.push([await outcome(move), await available()]);
  return outcomes;
}

test("the portal in memory gives the outcomes of the product", { skip }, async () => {
  const client = new Client(url!, key!, { account: "ts-reader" });
  const account = await client.createAccount({ external_id: "ts-reader", name: "A reader" });
  const free = micro((await client.balance()).available) / 1_000_000n;
  if (free < 10n) await client.giveCredits(account.id, 10n - free);
  if (free > 10n) await client.charge(SERVICE, { uses: Number(free - 10n) });
  const real = await story(client, async () => (await client.balance()).available);
  const memory = new FakePortal({ [SERVICE]: { uses: 1 } });
  memory.give("ts-reader", 10);
  assert.deepEqual(await story(memory.client("ts-reader"), () => memory.available("ts-reader")), real);
});

test("holds, lists, refusals and settings of a running portal", { skip }, async () => {
  const client = new Client(url!, key!, { account: "ts-user" });
  await client.createAccount({ external_id: "ts-user", zone: "Europe/Berlin" });
  await client.giveCredits("ts-user", "12.5", { reason: "welcome" });
  const charge = await client.hold(SERVICE, { uses: 5 }, (hold) => hold.capture({ uses: 2 }), { metadata: { call: 7 } });
  assert.equal(charge.credits, "2");
  assert.deepEqual((await client.getCharge(charge.id)).metadata, { call: 7 });
  const items = await client.chargeBatch([1, 2, 3, 4, 5].map(() => ({ service: SERVICE, usage: { uses: 1 } })));
  assert.deepEqual(items.map((item) => item.status), [201, 201, 201, 201, 201]);
  let count = 0;
  for await (const one of client.charges({ limit: 2, from: new Date("2020-01-01") })) count += one.service === SERVICE ? 1 : 0;
  assert.equal(count, 6);
  await assert.rejects(client.charge(SERVICE, { uses: 100_000 }), (error) => {
    assert.ok(error instanceof InsufficientCredits);
    return error.needed === "100000" && error.waysOn.some((way) => way.kind === "buy" && way.url);
  });
  assert.equal((await client.setAlerts({ enabled: true, below: "7.5" })).below, "7.5");
  const project = await client.createProject("Server", { daily_limit: 1 });
  assert.equal((await client.updateProject(project.id, { daily_limit: null })).daily_limit, null);
  assert.equal((await client.usageReport({ group_by: "service" })).total.credits, "7");
  const endpoint = await client.createWebhookEndpoint("https://hooks.example.com/", { events: ["balance.low"] });
  assert.match(endpoint.secret!, /^whsec_/);
  assert.notEqual((await client.rotateWebhookSecret(endpoint.id)).secret, endpoint.secret);
  const queued = await client.testWebhookEndpoint(endpoint.id);
  for await (const delivery of client.webhookDeliveries({ endpoint: endpoint.id })) assert.equal(delivery.id, queued.id);
  await assert.rejects(client.redeliverWebhook(queued.id), { code: "delivery_pending" });
  assert.equal((await client.updateWebhookEndpoint(endpoint.id, { enabled: false })).enabled, false);
  await client.deleteWebhookEndpoint(endpoint.id);
  for await (const left of client.webhookEndpoints()) assert.fail(left.id);
});

test("events arrive as they happen and continue after a break", { skip }, async () => {
  const client = new Client(url!, key!, { account: "ts-listener" });
  await client.createAccount({ external_id: "ts-listener" });
  const events = client.events();
  const next = async (): Promise<Event> => (await events.next()).value;
  assert.equal((await next()).type, "balance");
  const charge = await client.charge(SERVICE, { uses: 1 });
  const [charged, after] = [await next(), await next()];
  assert.deepEqual([charged.type, charged.data], ["charge", charge]);
  assert.equal(after.type, "balance");
  await events.return(undefined);
  const missed = await client.charge(SERVICE, { uses: 2 });
  for await (const event of client.events({ lastEventId: after.id })) {
    assert.deepEqual(event.data, missed);
    break;
  }
  await assert.rejects(new Client(url!, "rf_wrong").events().next(), ApiError);
});

test("members and keys are managed", { skip }, async () => {
  const client = new Client(url!, key!, { account: "ts-firm" });
  await client.createAccount({ external_id: "ts-firm" });
  await client.invite("guest@example.org", { monthly_limit: 5 });
  for await (const invitation of client.invitations()) {
    assert.deepEqual([invitation.email, invitation.monthly_limit], ["guest@example.org", "5"]);
    await client.revokeInvitation(invitation.id);
  }
  for await (const member of client.members()) assert.fail(member.id);
  for await (const asked of client.teamRequests()) assert.fail(asked.id);
  await assert.rejects(client.leave(), { code: "unknown_member" });
  for await (const one of client.keys()) assert.fail(one.id);
});

test("the history is exported and has statements", { skip }, async () => {
  const client = new Client(url!, key!, { account: "ts-history" });
  await client.createAccount({ external_id: "ts-history" });
  await client.giveCredits("ts-history", 7);
  await client.charge(SERVICE, { uses: 2 });
  const started = await client.createExport({ kind: "charge", from: new Date("2020-01-01") });
  assert.deepEqual([(await client.getExport(started.id)).state, started.kind], ["waiting", "charge"]);
  await assert.rejects(client.downloadExport(started.id), { code: "export_not_ready" });
  for await (const one of client.exports()) assert.equal(one.id, started.id);
  const newest = await client.statement({ limit: 1 });
  const before = await client.statement({ limit: 1, cursor: newest.next_cursor! });
  assert.deepEqual([newest.data[0]!.credits, newest.page.opening_balance], ["-2", before.page.closing_balance]);
  const signed = JSON.parse(new TextDecoder().decode(await client.signedStatement()));
  assert.equal(signed.format, "refill-statement/1");
});
