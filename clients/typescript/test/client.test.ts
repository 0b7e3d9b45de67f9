// The TypeScript client with the portal in memory: holds, retries, errors, usage, webhooks, the AI SDK middleware.

import assert from "node:assert/strict";
import { test } from "node:test";
import { refillMiddleware } from "../src/ai-sdk.ts";
import {
  BudgetExceeded,
  ChildrenOpen,
  Client,
  HoldClosed,
  InsufficientCredits,
  InvalidRequest,
  InvalidWebhook,
  KeyReused,
  LimitReached,
  NotFound,
  OutcomeUnknown,
  RateLimited,
  ServiceUnpriced,
  charged,
  credits,
  micro,
  usageOf,
  verifyWebhook,
} from "../src/index.ts";
import { FakePortal } from "../src/testing.ts";

const RESPONSE = { usage: { prompt_tokens: 100, completion_tokens: 50 } };

function opened(): FakePortal {
  const portal = new FakePortal({ gpt: { input_tokens: "0.01", output_tokens: "0.02" }, soon: null });
  portal.give("alice", "10");
  return portal;
}
function streamOf<T>(parts: T[]): ReadableStream<T> {
  return new ReadableStream({
    start(controller) {
      for (const part of parts) controller.enqueue(part);
      controller.close();
    },
  });
}
const statuses = (portal: FakePortal) => [...portal.holds.values()].map((hold) => hold["status"]);

test("a captured hold charges the usage and returns the rest", async () => {
  const portal = opened();
  const charge = await portal.client("alice").hold("gpt", "5", async (hold) => {
    assert.equal(portal.available("alice"), "5");
    return hold.capture(RESPONSE);
  });
  assert.equal(charge.credits, "2");
  assert.equal(portal.available("alice"), "8");
  assert.deepEqual(statuses(portal), ["captured"]);
});

test("a hold is released after an error, and when it was not captured", async () => {
  const portal = opened();
  const client = portal.client("alice");
  const fails = client.hold("gpt", { output_tokens: 100 }, async () => {
    throw new RangeError("no");
  });
  await assert.rejects(fails, RangeError);
  await client.hold("gpt", 5, async () => undefined);
  assert.deepEqual(statuses(portal), ["released", "released"]);
  assert.equal(portal.available("alice"), "10");
});

test("a capture with an unknown outcome is not followed by a release", async () => {
  const portal = opened();
  const client = portal.client("alice");
  let id = "";
  const error = await client
    .hold("gpt", "5", async (hold) => {
      id = hold.id;
      portal.failNext(503, 0, 503, 503, 502);
      await hold.capture(RESPONSE);
    })
    .catch((error: unknown) => error);
  assert.ok(error instanceof OutcomeUnknown && error.idempotencyKey);
  assert.deepEqual(statuses(portal), ["held"]);
  await client.captureHold(id, RESPONSE, { idempotencyKey: error.idempotencyKey });
  assert.deepEqual(statuses(portal), ["captured"]);
});

test("a refused capture is released unless it is captured again", async () => {
  const portal = opened();
  const client = portal.client("alice");
  const refused = client.hold("gpt", "5", (hold) => hold.capture({ images: 1 }));
  await assert.rejects(refused, (error) => error instanceof InvalidRequest && error.errors[0]?.field === "usage.images");
  assert.deepEqual(statuses(portal), ["released"]);
});

test("a request is repeated with the same key and body, and without a key only if nothing was done", async () => {
  const keys: (string | null)[] = [];
  const bodies: unknown[] = [];
  const answers = [503, 409, 0, 429, 201];
  const client = new Client("http://portal.test", "key", {
    retries: { chance: () => 0 },
    fetch: async (_url, init) => {
      keys.push(new Headers(init?.headers).get("Idempotency-Key"));
      bodies.push(init?.body);
      const status = answers.shift() ?? 0;
      if (status === 0) throw new TypeError("closed");
      const code = status === 409 ? "idempotency_key_in_progress" : "rate_limited";
      return Response.json({ code, credits: "1" }, { status });
    },
  });
  await client.redeem("X");
  assert.equal(keys.length, 5);
  assert.ok(keys[0]);
  assert.deepEqual([new Set(keys).size, new Set(bodies).size], [1, 1]);
  for (const status of [503, 0]) {
    answers.push(status);
    await assert.rejects(client.createProject("Server"), OutcomeUnknown);
  }
  assert.equal(keys.length, 7);
  answers.push(0, 429);
  const limited = new Headers({ "Retry-After": "60" });
  const busy = new Client("http://portal.test", "key", {
    retries: { chance: () => 0 },
    fetch: async () => {
      if (answers.shift() === 0) throw new TypeError("closed");
      return Response.json({ code: "rate_limited" }, { status: 429, headers: limited });
    },
  });
  await assert.rejects(busy.redeem("X"), OutcomeUnknown);
  await assert.rejects(busy.redeem("X"), RateLimited);
});

test("the portal in memory refuses like the product", async () => {
  const portal = opened();
  const client = portal.client("alice");
  await assert.rejects(client.charge("gpt", { output_tokens: 501 }), (error) => {
    assert.ok(error instanceof InsufficientCredits);
    return error.needed === "10.02" && error.available === "10" && error.waysOn[0]?.kind === "buy";
  });
  await assert.rejects(client.charge("nothing", { uses: 1 }), NotFound);
  await assert.rejects(client.charge("soon", { uses: 1 }), ServiceUnpriced);
  await client.charge("gpt", { output_tokens: 1 }, { idempotencyKey: "one" });
  await client.charge("gpt", { output_tokens: 1 }, { idempotencyKey: "one" });
  await assert.rejects(client.charge("gpt", { output_tokens: 2 }, { idempotencyKey: "one" }), KeyReused);
  const hold = await client.openHold("gpt", "1");
  portal.now = new Date(portal.now.getTime() + 901_000);
  await assert.rejects(client.captureHold(hold.id, RESPONSE), (e) => e instanceof HoldClosed && e.holdStatus === "expired");
  portal.limit("alice", "1");
  await assert.rejects(client.charge("gpt", RESPONSE), (e) => e instanceof LimitReached && e.resetsAt instanceof Date);
  assert.equal(portal.available("alice"), "9.98");
});

test("usage of an SDK becomes meters, and cached tokens are counted once", () => {
  const openai = { input_tokens: 86, output_tokens: 300, cached_input_tokens: 1920 };
  const cases: [object, object][] = [
    [{ usage: { prompt_tokens: 2006, completion_tokens: 300, prompt_tokens_details: { cached_tokens: 1920 } } }, openai],
    [{ response: { usage: { input_tokens: 2006, output_tokens: 300, input_tokens_details: { cached_tokens: 1920 } } } }, openai],
    [
      { usage: { input_tokens: 50, output_tokens: 503, cache_read_input_tokens: 1000, cache_creation_input_tokens: 200 } },
      { input_tokens: 250, output_tokens: 503, cached_input_tokens: 1000 },
    ],
    [
      { usageMetadata: { promptTokenCount: 2006, cachedContentTokenCount: 1920, candidatesTokenCount: 200, thoughtsTokenCount: 100 } },
      openai,
    ],
    [{ inputTokens: { total: 2006, noCache: 86, cacheRead: 1920 }, outputTokens: { total: 300 } }, openai],
    [{ inputTokens: 2006, outputTokens: 300, cachedInputTokens: 1920 }, openai],
    [{ seconds: 1.5 }, { seconds: 1.5 }],
  ];
  for (const [thing, meters] of cases) assert.deepEqual(usageOf(thing), meters);
  assert.throws(() => usageOf({ choices: [], usage: null }), TypeError);
});

test("cached tokens count as input where the service does not price them", async () => {
  const portal = opened();
  const usage = { ...RESPONSE.usage, prompt_tokens_details: { cached_tokens: 40 } };
  const charge = await portal.client("alice").charge("gpt", { usage });
  assert.deepEqual(charge.usage, { input_tokens: 100, output_tokens: 50 });
});

test("a function can be charged", async () => {
  const portal = opened();
  const answer = charged(portal.client(), "gpt", "5", async (_account: string) => RESPONSE, {
    fields: (account) => ({ account }),
  });
  assert.equal(await answer("alice"), RESPONSE);
  assert.equal(portal.available("alice"), "8");
});

test("the AI SDK's middleware holds before and captures after, streams included", async () => {
  const portal = opened();
  const middleware = refillMiddleware(portal.client("alice"), { maximum: "5" });
  const model = { modelId: "gpt" };
  const usage = { inputTokens: { total: 100, cacheRead: 0 }, outputTokens: { total: 50 } };
  await middleware.wrapGenerate({ model, doGenerate: async () => ({ usage, content: [] }) });
  assert.equal(portal.available("alice"), "8");

  const parts = [{ type: "text-delta" }, { type: "finish", usage }];
  const { stream } = await middleware.wrapStream({ model, doStream: async () => ({ stream: streamOf(parts) }) });
  const seen: unknown[] = [];
  for await (const part of stream) seen.push(part);
  assert.deepEqual(seen, parts);
  assert.equal(portal.available("alice"), "6");

  const broken = await middleware.wrapStream({ model, doStream: async () => ({ stream: streamOf(parts) }) });
  await broken.stream.cancel();
  assert.deepEqual([statuses(portal).at(-1), portal.available("alice")], ["released", "6"]);

  let called = false;
  const poor = refillMiddleware(portal.client("alice"), { maximum: "100" });
  const call = { model, doGenerate: async () => ({ usage: { called: (called = true) } }) };
  await assert.rejects(poor.wrapGenerate(call), InsufficientCredits);
  assert.equal(called, false);
});

test("webhooks are verified", async () => {
  // Signed by the reference library of Standard Webhooks.
  const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
  const body = '{"test": 2432232314}';
  const headers = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "Webhook-Signature": "v1a,x v1,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
  };
  const now = 1614265330;
  const event = await verifyWebhook(body, headers, ["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", secret], { now });
  assert.deepEqual(event, { test: 2432232314 });
  await assert.rejects(verifyWebhook(`${body} `, headers, secret, { now }), InvalidWebhook);
  await assert.rejects(verifyWebhook(body, headers, secret, { now: now + 301 }), InvalidWebhook);
  await assert.rejects(verifyWebhook(body, {}, secret, { now }), InvalidWebhook);
});

test("amounts are exact", () => {
  assert.equal(credits(micro("0.1") + micro("0.2")), "0.3");
  assert.equal(credits(-micro("12.5")), "-12.5");
  assert.throws(() => micro(0.1), TypeError);
});

test("children reserve from their parent and give back what they did not use", async () => {
  const portal = opened();
  const client = portal.client("alice");
  await client.hold("gpt", "8", async (budget) => {
    await budget.child("gpt", "5", async (task) => {
      assert.equal((await client.getHold(budget.id)).remaining, "3");
      await task.child("gpt", "4", (step) => step.capture(RESPONSE));
      await task.report(RESPONSE);
      await task.capture(undefined, { credits: "1" });
    });
    const shown = await client.getHold(budget.id);
    assert.deepEqual([shown.spent, shown.reserved, shown.remaining], ["3", "0", "5"]);
    assert.deepEqual(shown.children.map((one) => one.spent), ["3"]);
    const tooMuch = budget.child("gpt", "5.5", async () => undefined);
    await assert.rejects(tooMuch, (e) => e instanceof BudgetExceeded && e.remaining === "5");
  });
  assert.equal(portal.available("alice"), "7");
});

test("a tree never spends more than its root reserved, and a parent is closed after its children", async () => {
  const portal = opened();
  const client = portal.client("alice");
  const budget = await client.openHold("gpt", "5");
  const task = await client.openHold("gpt", "1", { parent: budget.id, expires_in: 86_400 });
  assert.equal(task.expires_at, budget.expires_at);
  await assert.rejects(client.releaseHold(budget.id), (e) => e instanceof ChildrenOpen && e.children === 1);
  const charge = await client.captureHold(task.id, undefined, { credits: "7" });
  assert.deepEqual([charge.credits, charge.uncollected], ["5", "2"]);
  await client.releaseHold(budget.id);
  assert.equal(portal.available("alice"), "5");
});

test("a client without scheme or key is refused at once, as is a usage that is no object", async () => {
  assert.throws(() => new Client("credits.example.org", "rk_1"), TypeError);
  assert.throws(() => new Client("https://credits.example.org", ""), TypeError);
  for (const usage of [null, undefined, 5]) assert.throws(() => usageOf(usage as never), /has no usage/);
});

test("a file is returned as its bytes, and its refusal is an error", async () => {
  const problem = { status: 404, code: "not_found", detail: "", title: "", type: "", request_id: "r" };
  const answers = [new Response(new Uint8Array([37, 80, 255])), Response.json(problem, { status: 404 })];
  const client = new Client("http://portal.test", "key", { fetch: async () => answers.shift()! });
  assert.deepEqual(new Uint8Array(await client.invoice("pur_1")), new Uint8Array([37, 80, 255]));
  await assert.rejects(client.invoice("pur_1"), NotFound);
});

test("the middleware takes one service for every model", async () => {
  const portal = opened();
  const middleware = refillMiddleware(portal.client("alice"), { maximum: "5", service: "gpt" });
  const usage = { inputTokens: 100, outputTokens: 50, totalTokens: 150 };
  await middleware.wrapGenerate({ doGenerate: async () => ({ usage }), model: { modelId: "other" } });
  assert.equal(portal.available("alice"), "8");
});
