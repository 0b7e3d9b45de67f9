/**
 * A portal in memory, for the tests of programs that use this client.
 *
 * It holds balances, prices uses by its own prices, and refuses as Refill does: too few credits (402), a limit (429),
 * an unknown service (404), one without a price or a closed hold (409), a reused key (422). Requests go through the
 * real client, so retries, keys and errors are the real ones. Not in it: plans, purchases, options.
 */

import { type Amount, credits, micro } from "./amounts.ts";
import type { Json } from "./calls.ts";
import { Client } from "./client.ts";
import type { Credits } from "./spending.ts";

/** Holds from the root of a tree to its deepest child. */
const DEEPEST = 4;

class Refused extends Error {
  readonly status: number;
  readonly problem: Json;

  constructor(status: number, code: string, detail: string, fields: Json = {}) {
    super(detail);
    this.status = status;
    this.problem = { type: `urn:refill:problem:${code}`, title: code, status, detail, code, request_id: "test", ...fields };
  }
}

/** Credits for one of each meter; null for a service without a price. */
export type Prices = Record<string, Record<string, Amount> | null>;

/** Accounts, prices, charges and holds in memory. */
export class FakePortal {
  services: Prices;
  /** The time of the portal; set it to let holds expire. */
  now = new Date();
  readonly charges: Json[] = [];
  readonly holds = new Map<string, Json>();
  readonly #balances = new Map<string, bigint>();
  readonly #limits = new Map<string, bigint>();
  readonly #answers = new Map<string, { sent: string; status: number; answer: string }>();
  readonly #failures: number[] = [];
  #number = 0;

  constructor(services: Prices) {
    this.services = services;
  }

  /** A client of this portal; it does not wait between attempts. */
  client(account?: string): Client {
    const options = { retries: { chance: () => 0 }, fetch: this.fetch };
    return new Client("http://portal.test", "key", { ...options, ...(account !== undefined && { account }) });
  }
  /** Give credits to an account; a new one is opened. */
  give(account: string, amount: Amount): void {
    this.#balances.set(account, (this.#balances.get(account) ?? 0n) + micro(amount));
  }
  /** Refuse uses of the account beyond this sum with LimitReached. */
  limit(account: string, amount: Amount): void {
    this.#limits.set(account, micro(amount));
  }
  /** What the account can spend now. */
  available(account: string): Credits {
    return credits(this.#free(account));
  }
  /** Answer the next requests with these statuses, such as 503, without doing anything; 0: no answer. */
  failNext(...statuses: number[]): void {
    this.#failures.push(...statuses);
  }

  /** The portal as a `fetch`. */
  readonly fetch: typeof fetch = async (input, init) => {
    const request = new Request(input, init);
    const sent = await request.text();
    try {
      const failure = this.#failures.shift();
      if (failure === 0) throw new TypeError("the connection was closed");
      if (failure !== undefined) throw new Refused(failure, "unavailable", "Asked for by the test.");
      return this.#once(request, sent);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      return Response.json(error.problem, { status: error.status });
    }
  };

  /** Answer a request; one with a key that has succeeded gets its first answer again. */
  #once(request: Request, sent: string): Response {
    const url = new URL(request.url);
    const key = request.headers.get("Idempotency-Key");
    const place = `${url.pathname} ${key}`;
    const known = key === null ? undefined : this.#answers.get(place);
    if (known !== undefined) {
      if (known.sent !== sent) throw new Refused(422, "idempotency_key_reused", "The key has been used.");
      return new Response(known.answer, { status: known.status, headers: { "Idempotent-Replayed": "true" } });
    }
    const [status, content] = this.#route(request.method, url, (sent ? JSON.parse(sent) : {}) as Json);
    const answer = JSON.stringify(content);
    if (key !== null) this.#answers.set(place, { sent, status, answer });
    return new Response(answer, { status });
  }

  #route(method: string, url: URL, body: Json): [number, Json] {
    const [kind = "", id = "", action = ""] = url.pathname.split("/").slice(3).map(decodeURIComponent);
    const account = String(body["account"] ?? url.searchParams.get("account") ?? "");
    switch (`${method} ${kind} ${id && kind !== "charges" ? "*" : id} ${action}`.trim()) {
      case "POST accounts":
        return [201, this.#open(body)];
      case "POST accounts * grants":
        return [201, this.#grant(this.#known(id), body)];
      case "GET balance":
        return [200, this.#balance(this.#known(account))];
      case "POST estimates":
        return [200, this.#estimate(this.#known(account), body)];
      case "POST charges":
        return [201, this.#charge(this.#known(account), body, this.#price(body))];
      case "GET charges":
        return [200, this.#page(this.charges.filter((one) => one["account"] === account).reverse())];
      case "POST charges batch":
        return [200, { data: (body["data"] as Json[]).map((item) => this.#item(account, item)) }];
      case "POST holds":
        return [201, this.#hold(this.#known(account), body)];
      case "GET holds *":
        return [200, this.#shown(this.#heldOne(id))];
      case "PUT holds * usage":
        return [200, this.#report(this.#openHold(id), body)];
      case "POST holds * capture":
        return [201, this.#capture(this.#openHold(id), body)];
      case "POST holds * release":
        return [200, this.#close(this.#openHold(id), "released")];
      case `GET charges ${id}`:
        return [200, this.#found(id)];
      case `POST charges ${id} reversals`:
        return [201, this.#reverse(this.#found(id), body)];
    }
    throw new Refused(404, "not_found", `FakePortal has no ${method} ${url.pathname}.`);
  }

  #page(data: Json[]): Json {
    return { data, has_more: false, next_cursor: null };
  }
  #known(account: string): string {
    if (!this.#balances.has(account)) throw new Refused(404, "unknown_account", `There is no account ${account}.`);
    return account;
  }
  #open(body: Json): Json {
    const id = String(body["external_id"] ?? this.#id("acct"));
    if (this.#balances.has(id)) throw new Refused(409, "external_id_taken", "An account has this external id.");
    this.give(id, 0);
    return { id, external_id: null, name: id, kind: "personal", zone: "UTC", plan: null, ...body, created_at: this.#at() };
  }
  #grant(account: string, body: Json): Json {
    const amount = body["credits"] as Credits;
    this.give(account, amount);
    const rest = { label: "", held: "0", expires_at: null, services: null, reason: "", created_at: this.#at() };
    return { id: this.#id("grant"), granted: amount, remaining: amount, ...rest, ...body };
  }
  #balance(account: string): Json {
    const held = credits(this.#held(account));
    const rest = { debt: "0", grants: [], daily: null, unlimited_services: [], low: false };
    return { account, available: this.available(account), held, as_of: this.#at(), ...rest };
  }
  #price(body: Json, usage: Json = (body["usage"] as Json | undefined) ?? {}): bigint {
    const service = String(body["service"]);
    const prices = this.services[service];
    if (prices === undefined) throw new Refused(404, "unknown_service", `There is no service ${service}.`);
    if (prices === null) throw new Refused(409, "service_unpriced", `${service} has no price.`);
    let total = 0n;
    for (const [meter, quantity] of Object.entries(usage)) {
      const price = prices[meter];
      if (price === undefined || Number(quantity) < 0) {
        const error = { field: `usage.${meter}`, code: "unknown_meter", message: `not priced by ${meter}` };
        throw new Refused(400, "invalid_request", error.message, { errors: [error] });
      }
      total += micro(price) * micro(Number(quantity).toFixed(6));
    }
    return (total + 500_000n) / 1_000_000n;
  }
  #estimate(account: string, body: Json): Json {
    const price = this.#price(body);
    const cost = { credits: credits(price), maximum: credits(price), lines: [], rate: this.#rate(), covered_by: null };
    const sufficient = price <= this.#free(account);
    const rest = { approximate: "text" in body, valid_until: this.#at(600) };
    return { id: this.#id("est"), ...cost, available: this.available(account), sufficient, ...rest };
  }
  #afford(account: string, price: bigint): void {
    const limit = this.#limits.get(account);
    const own = this.charges.filter((one) => one["account"] === account);
    const used = own.reduce((sum, one) => sum + micro(one["credits"] as Credits), 0n);
    if (limit !== undefined && used + this.#held(account) + price > limit) {
      const fields = { limit: "member", maximum: credits(limit), used: credits(used), resets_at: this.#at(86_400) };
      throw new Refused(429, "limit_reached", "The limit is reached.", fields);
    }
    const free = this.#free(account);
    if (price > free) {
      const ways_on = [{ kind: "buy", pack: "small", name: "Small", url: "http://portal.test/buy/" }];
      const fields = { needed: credits(price), available: credits(free), ways_on };
      throw new Refused(402, "insufficient_credits", `${fields.needed} credits are needed.`, fields);
    }
  }
  #charge(account: string, body: Json, price: bigint, hold?: Json, most?: bigint): Json {
    if (hold === undefined) this.#afford(account, price);
    const before = this.#balances.get(account) ?? 0n;
    const free = most ?? this.#free(account);
    const collected = price < free ? price : free;
    this.#balances.set(account, before - collected);
    const charge: Json = {
      ...this.#use(account, body),
      id: this.#id("chg"),
      status: "charged",
      credits: credits(collected),
      uncollected: credits(price - collected),
      balance_before: credits(before),
      balance_after: credits(before - collected),
      hold: hold?.["id"] ?? null,
      covered_by: null,
      returned: "0",
      api_key: null,
    };
    this.charges.push(charge);
    return charge;
  }
  #item(all: string, item: Json): Json {
    const account = String(item["account"] ?? all);
    const place = `item ${item["idempotency_key"]}`;
    const known = this.#answers.get(place);
    if (known !== undefined) return { status: 201, charge: JSON.parse(known.answer), replayed: true };
    try {
      const charge = this.#charge(this.#known(account), item, this.#price(item));
      this.#answers.set(place, { sent: "", status: 201, answer: JSON.stringify(charge) });
      return { status: 201, charge };
    } catch (error) {
      if (error instanceof Refused) return { status: error.status, error: error.problem };
      throw error;
    }
  }
  #found(id: string): Json {
    const charge = this.charges.find((one) => one["id"] === id);
    if (charge === undefined) throw new Refused(404, "not_found", "There is no such charge.");
    return charge;
  }
  #reverse(charge: Json, body: Json): Json {
    const left = micro(charge["credits"] as Credits) - micro(charge["returned"] as Credits);
    const amount = body["credits"] === undefined ? left : micro(body["credits"] as Credits);
    if (amount <= 0n || amount > left) {
      throw new Refused(409, "not_reversible", "That much cannot be reversed.", { left: credits(left) });
    }
    charge["returned"] = credits(micro(charge["returned"] as Credits) + amount);
    charge["status"] = amount === left ? "reversed" : "partly_reversed";
    const account = String(charge["account"]);
    this.give(account, credits(amount));
    const rest = { returned_to: [], reason: "", balance_after: this.available(account), created_at: this.#at() };
    return { id: this.#id("rev"), charge: charge["id"], credits: credits(amount), ...rest };
  }
  #hold(account: string, body: Json): Json {
    const price = this.#price(body);
    const amount = body["credits"] === undefined ? price : micro(body["credits"] as Credits);
    let ends = this.#at(Number(body["expires_in"] ?? 900));
    const parent = body["parent"] ? this.#openHold(String(body["parent"])) : undefined;
    if (parent === undefined) {
      this.#afford(account, amount);
    } else {
      this.#take(parent, amount);
      ends = [ends, String(parent["expires_at"])].sort()[0] ?? ends;
    }
    const id = this.#id("hold");
    const state = { status: "held", closed_at: null, charge: null, spent: "0", remaining: credits(amount) };
    const tree = { parent: body["parent"] ?? null, at_expiry: "release", reported: null };
    const hold = { ...this.#use(account, body), id, credits: credits(amount), expires_at: ends, ...state, ...tree };
    this.holds.set(id, hold);
    return this.#shown(hold);
  }
  /** Reserve credits of a parent for a child. */
  #take(parent: Json, amount: bigint): void {
    const remaining = micro(parent["remaining"] as Credits);
    if (amount > remaining) {
      const fields = { needed: credits(amount), remaining: credits(remaining) };
      throw new Refused(402, "budget_exceeded", `Only ${fields.remaining} credits remain.`, fields);
    }
    if (this.#above(parent).length === DEEPEST) {
      throw new Refused(409, "tree_too_deep", "A tree of holds is at most 4 deep.", { most: DEEPEST });
    }
    parent["remaining"] = credits(remaining - amount);
  }
  /** The hold, its parent, and so on up to the root. */
  #above(hold: Json): Json[] {
    const parent = this.holds.get(String(hold["parent"]));
    return [hold, ...(parent === undefined ? [] : this.#above(parent))];
  }
  #children(hold: Json): Json[] {
    return [...this.holds.values()].filter((one) => one["parent"] === hold["id"]);
  }
  /** What the open children of a hold reserve, with everything below them. */
  #reserved(hold: Json): bigint {
    const open = this.#children(hold).filter((one) => one["status"] === "held");
    return open.reduce((sum, one) => sum + micro(one["remaining"] as Credits) + this.#reserved(one), 0n);
  }
  /** The hold as the API shows it. */
  #shown(hold: Json): Json {
    const children = this.#children(hold).reverse().map((one) => {
      const { id, status, service, action, credits: held, spent, remaining } = one;
      return { id, status, service, action, credits: held, spent, remaining, reserved: credits(this.#reserved(one)) };
    });
    return { ...hold, reserved: credits(this.#reserved(hold)), children };
  }
  #report(hold: Json, body: Json): Json {
    const usage = body["usage"] as Json;
    hold["reported"] = { usage, credits: credits(this.#price(hold, usage)) };
    return this.#shown(hold);
  }
  #heldOne(id: string): Json {
    this.#expireHolds();
    const hold = this.holds.get(id);
    if (hold === undefined) throw new Refused(404, "not_found", "There is no such hold.");
    return hold;
  }
  #openHold(id: string): Json {
    const hold = this.#heldOne(id);
    const hold_status = hold["status"];
    if (hold_status !== "held") throw new Refused(409, "hold_closed", `The hold is ${hold_status}.`, { hold_status });
    return hold;
  }
  #capture(hold: Json, body: Json): Json {
    const given = body["credits"] as Credits | undefined;
    const price = given === undefined ? this.#price(hold, (body["usage"] as Json) ?? {}) : micro(given);
    this.#refuseOpenChildren(hold);
    const above = this.#above(hold);
    const inTree = hold["parent"] !== null || this.#children(hold).length > 0;
    const most = above.reduce((sum, one) => sum + micro(one["remaining"] as Credits), 0n);
    let left = price;
    for (const one of above) {
      const remaining = micro(one["remaining"] as Credits);
      const part = left < remaining ? left : remaining;
      one["remaining"] = credits(remaining - part);
      left -= part;
    }
    this.#close(hold, "captured");
    const charge = this.#charge(String(hold["account"]), { ...hold, ...body }, price, hold, inTree ? most : undefined);
    for (const one of above) one["spent"] = credits(micro(one["spent"] as Credits) + micro(charge["credits"] as Credits));
    hold["charge"] = charge["id"];
    return charge;
  }
  #refuseOpenChildren(hold: Json): void {
    const children = this.#children(hold).filter((one) => one["status"] === "held").length;
    if (children > 0) throw new Refused(409, "children_open", `${children} children are open.`, { children });
  }
  #close(hold: Json, status: string): Json {
    this.#refuseOpenChildren(hold);
    const parent = this.holds.get(String(hold["parent"]));
    if (parent !== undefined) {
      parent["remaining"] = credits(micro(parent["remaining"] as Credits) + micro(hold["remaining"] as Credits));
    }
    Object.assign(hold, { status, closed_at: this.#at(), remaining: "0" });
    return this.#shown(hold);
  }
  #free(account: string): bigint {
    return (this.#balances.get(account) ?? 0n) - this.#held(account);
  }
  #held(account: string): bigint {
    this.#expireHolds();
    const own = [...this.holds.values()].filter((one) => one["account"] === account && one["status"] === "held");
    return own.reduce((sum, one) => sum + micro(one["remaining"] as Credits), 0n);
  }
  #expireHolds(): void {
    for (const hold of [...this.holds.values()].sort((a, b) => this.#above(b).length - this.#above(a).length)) {
      const over = new Date(String(hold["expires_at"])) <= this.now;
      if (hold["status"] === "held" && over) this.#close(hold, "expired");
    }
  }
  #use(account: string, body: Json): Json {
    const { service, action = null, project = null, conversation = null, member = null } = body;
    const { usage = {}, options = {}, metadata = {} } = body;
    const use = { service, action, project, conversation, member, usage, options, metadata };
    return { ...use, account, created_at: this.#at(), rate: this.#rate(), lines: [], drawn: [] };
  }
  #rate(): Json {
    return { version: "test", effective_at: this.#at() };
  }
  #at(seconds = 0): string {
    return new Date(this.now.getTime() + seconds * 1000).toISOString();
  }
  #id(kind: string): string {
    return `${kind}_${++this.#number}`;
  }
}
