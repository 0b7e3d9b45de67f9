/** The client: every endpoint as a method, holds, and lists as asynchronous iterators. */

import type { Amount } from "./amounts.ts";
import { once, plainAmounts, withUsage } from "./bodies.ts";
import type * as buying from "./buying.ts";
import type * as settings from "./settings.ts";
import { type Call, type Json, type Retries, path, send } from "./calls.ts";
import { ofProblem } from "./errors.ts";
import { type Event, streamed } from "./events.ts";
import type {
  BatchItem,
  BatchUse,
  CaptureFields,
  ChargeFields,
  HoldFields,
  Keyed,
  Maximum,
  Of,
  Paged,
  Period,
  ReportFields,
  UseFields,
} from "./fields.ts";
import { Hold } from "./hold.ts";
import type * as members from "./members.ts";
import type * as spending from "./spending.ts";
import { type Usage, usageOf } from "./usage.ts";
import type * as webhooks from "./webhook-endpoints.ts";

export type * from "./fields.ts";

export interface ClientOptions {
  /** The account of calls that name none, for a platform key. */
  account?: string;
  retries?: Retries;
  /** Seconds for one attempt. Default: 30. */
  timeout?: number;
  fetch?: typeof fetch;
}
export interface ChargeFilters extends Paged, Period {
  service?: string;
  action?: string;
  project?: string;
  conversation?: string;
  member?: string;
  status?: string;
}
export interface MemberTerms {
  role?: string;
  monthly_limit?: Amount | null;
}
/** Limits in credits of a day and of a month. */
export interface KeyTerms {
  daily_limit?: Amount | null;
  monthly_limit?: Amount | null;
  expires_at?: Date | null;
}
interface Page<T> {
  data: T[];
  has_more: boolean;
  next_cursor: string | null;
}

/** A client of the portal at `url`, such as "https://credits.example.org", with an API key. */
export class Client {
  readonly #transport;
  readonly #account: string | undefined;

  constructor(url: string, key: string, options: ClientOptions = {}) {
    const { account, retries = {}, timeout = 30, fetch: own } = options;
    if (!/^https?:\/\//.test(url)) throw new TypeError("The URL of the portal begins with https:// or http://.");
    if (!key) throw new TypeError("The API key is empty.");
    this.#account = account;
    this.#transport = { url, key, retries, timeout, fetch: own ?? ((input, init) => fetch(input, init)) } as const;
  }

  /**
   * Hold credits while `act` runs: `await client.hold(service, maximum, async (hold) => { … await hold.capture(usage) })`.
   * A hold that was not captured is released, after an error as well as without one.
   */
  async hold<R>(service: string, maximum: Maximum, act: (hold: Hold) => Promise<R>, fields: HoldFields = {}): Promise<R> {
    const hold = new Hold(this, await this.openHold(service, maximum, fields));
    try {
      return await act(hold);
    } finally {
      await hold.end();
    }
  }

  /** What the account can spend now, and the grants in the order in which they will be spent. */
  balance(query: Of = {}): Promise<spending.Balance> {
    return this.#get("/balance", query);
  }
  /** Every grant, newest first; spent and expired ones included. */
  grants(query: Paged = {}): AsyncGenerator<spending.AnyGrant> {
    return this.#items("/grants", query);
  }
  /** Ledger entries, newest first. */
  transactions(query: Paged & Period & { kind?: string; grant?: string } = {}): AsyncGenerator<spending.Transaction> {
    return this.#items("/transactions", query);
  }
  /** What can be charged, with its price. */
  services(
    query: Paged & { kind?: string; modality?: string; tag?: string; tier?: string } = {},
  ): AsyncGenerator<spending.Service> {
    return this.#items("/services", query);
  }
  /** One service and its price. */
  service(key: string, query: Of = {}): Promise<spending.Service> {
    return this.#get(path("services", key), query);
  }
  /** What a use would cost; changes nothing. Give `usage`, or a `text` whose tokens are estimated. */
  estimate(service: string, usage: Usage | { text: string }, fields: UseFields = {}): Promise<spending.Estimate> {
    const body = { service, ...fields };
    const text = "text" in usage && typeof usage.text === "string" ? usage.text : undefined;
    if (text !== undefined) return this.#post("/estimates", { ...body, text }, true);
    return this.send(withUsage({ method: "POST", path: "/estimates", body }, usage));
  }
  /** Charge a use that has happened. Throws InsufficientCredits, LimitReached, QuotaReached. */
  charge(service: string, usage: Usage, fields: ChargeFields & Keyed = {}): Promise<spending.Charge> {
    return this.send(withUsage(once("/charges", fields, { service }), usage));
  }
  /** Charge up to 1,000 uses independently; the outcomes are in the same order. */
  async chargeBatch(uses: BatchUse[], of: Of = {}): Promise<BatchItem[]> {
    const items: Json[] = uses.map(({ usage, ...use }) => ({
      idempotency_key: crypto.randomUUID(),
      ...use,
      ...(usage && { usage: usageOf(usage) }),
    }));
    const body = { ...of, data: items };
    const answer = await this.send<{ data: Json[] }>({ method: "POST", path: "/charges/batch", body });
    return answer.data.map((item, index) => ({
      status: item["status"] as number,
      idempotency_key: String(items[index]?.["idempotency_key"]),
      replayed: item["replayed"] === true,
      ...(item["charge"] ? { charge: item["charge"] as spending.Charge } : {}),
      ...(item["error"] ? { error: ofProblem(item["status"] as number, item["error"] as Json) } : {}),
    }));
  }
  /** Charges, newest first. */
  charges(query: ChargeFilters = {}): AsyncGenerator<spending.Charge> {
    return this.#items("/charges", query);
  }
  /** One charge. */
  getCharge(charge: string, query: Of = {}): Promise<spending.Charge> {
    return this.#get(path("charges", charge), query);
  }
  /** Give back `credits` of a charge, or all that is left of it (platform keys with `manage`). */
  reverseCharge(
    charge: string,
    fields: Of & Keyed & { credits?: Amount; reason?: string } = {},
  ): Promise<spending.Reversal> {
    return this.send(once(path("charges", charge, "reversals"), fields));
  }
  /** Report a charge as abnormal. */
  reportCharge(charge: string, reason: string, of: Of = {}): Promise<spending.Report> {
    return this.#post(path("charges", charge, "reports"), { reason, ...of });
  }
  /** Reserve credits; `hold` does it around a function. Throws BudgetExceeded where a `parent` has less left. */
  openHold(service: string, maximum: Maximum, fields: HoldFields = {}): Promise<spending.Hold> {
    const most = typeof maximum === "object" ? { usage: usageOf(maximum) } : { credits: maximum };
    return this.send(once("/holds", fields, { service, ...most }));
  }
  /** One hold. */
  getHold(hold: string, query: Of = {}): Promise<spending.Hold> {
    return this.#get(path("holds", hold), query);
  }
  /** Settle a hold with the real usage, or with `credits`. Throws HoldClosed and ChildrenOpen. */
  captureHold(hold: string, usage?: Usage, fields: CaptureFields = {}): Promise<spending.Charge> {
    const call = once(path("holds", hold, "capture"), fields);
    return this.send(usage === undefined ? call : withUsage(call, usage));
  }
  /**
   * Report what a hold has used so far, in all; the last report counts. Throws HoldClosed. It is charged at the end of
   * the hold if nobody captures it and its `at_expiry` is `capture_reported`.
   */
  reportHoldUsage(hold: string, usage: Usage, fields: ReportFields = {}): Promise<spending.Hold> {
    const call: Call = { method: "PUT", path: path("holds", hold, "usage"), body: { ...fields } };
    return this.send(withUsage(call, usage));
  }
  /** Drop a hold: its credits become available again. Throws HoldClosed and ChildrenOpen. */
  releaseHold(hold: string, fields: Of & Keyed = {}): Promise<spending.Hold> {
    return this.send(once(path("holds", hold, "release"), fields));
  }
  /** Sums of charges by service, project, conversation, member or api_key, and by hour, day or month. */
  usageReport(
    query: Of & Period & { group_by?: string; interval?: string; timezone?: string } = {},
  ): Promise<spending.UsageReport> {
    return this.#get("/usage", query);
  }
  /** Projects of the account. */
  projects(query: Paged = {}): AsyncGenerator<spending.Project> {
    return this.#items("/projects", query);
  }
  /** Add a project; `daily_limit` in credits. */
  createProject(name: string, fields: Of & { daily_limit?: Amount } = {}): Promise<spending.Project> {
    return this.#post("/projects", { name, ...fields });
  }
  /** Change a project; `daily_limit: null` removes its limit. */
  updateProject(
    project: string,
    body: Of & { name?: string; daily_limit?: Amount | null; archived?: boolean },
  ): Promise<spending.Project> {
    return this.send({ method: "PATCH", path: path("projects", project), body: { ...body } });
  }
  /** The account's own provider keys, without their secrets. */
  providerKeys(query: Paged = {}): AsyncGenerator<spending.ProviderKey> {
    return this.#items("/provider-keys", query);
  }
  /** Store a provider key of the account. */
  addProviderKey(provider: string, key: string, of: Of = {}): Promise<spending.ProviderKey> {
    return this.#post("/provider-keys", { provider, key, ...of });
  }
  /** Delete a provider key. */
  deleteProviderKey(providerKey: string, query: Of = {}): Promise<void> {
    return this.#delete(path("provider-keys", providerKey), query);
  }

  /**
   * Events of the account as they happen, without end. The connection is opened again when it breaks, and continues after the
   * last event (or after `lastEventId`, of another iterator); one may come twice.
   */
  events({ lastEventId, ...query }: Of & { lastEventId?: string } = {}): AsyncGenerator<Event> {
    return streamed(this.#transport, this.#forAccount({ method: "GET", path: "/events", query, lastEventId }));
  }
  /** Members of the account, newest first. */
  members(query: Paged = {}): AsyncGenerator<members.Member> {
    return this.#items("/members", query);
  }
  /**
   * Add a user of the product (platform keys), by a verified address, id or external id. With any other key the address is
   * invited, and the result is the invitation.
   */
  addMember(body: Of & MemberTerms & { email?: string; user?: string }): Promise<members.Member | members.Invitation> {
    return this.#post("/members", { ...body });
  }
  /** Change a member's role or monthly limit; `monthly_limit: null` removes the limit. */
  updateMember(member: string, body: Of & MemberTerms): Promise<members.Member> {
    return this.send({ method: "PATCH", path: path("members", member), body: { ...body } });
  }
  /** Remove a member, whose keys end. */
  removeMember(member: string, query: Of = {}): Promise<void> {
    return this.#delete(path("members", member), query);
  }
  /** Invitations of the account, newest first. */
  invitations(query: Paged = {}): AsyncGenerator<members.Invitation> {
    return this.#items("/invitations", query);
  }
  /** Invite an address to the account, or send its open invitation again. */
  invite(email: string, body: Of & MemberTerms = {}): Promise<members.Invitation> {
    return this.#post("/invitations", { email, ...body });
  }
  /** Revoke an open invitation. */
  revokeInvitation(invitation: string, query: Of = {}): Promise<void> {
    return this.#delete(path("invitations", invitation), query);
  }
  /** Keys of the account, newest first, revoked and expired ones included. */
  keys(query: Paged = {}): AsyncGenerator<members.Key> {
    return this.#items("/keys", query);
  }
  /** Create a key. `member`, for platform keys: the user with whose membership it ends. */
  createKey(name: string, scopes: string[], body: Of & KeyTerms & { member?: string } = {}): Promise<members.NewKey> {
    return this.#post("/keys", { name, scopes, ...body });
  }
  /** Change a key; null removes a limit or the expiry. */
  updateKey(key: string, body: Of & KeyTerms & { name?: string; scopes?: string[] }): Promise<members.Key> {
    return this.send({ method: "PATCH", path: path("keys", key), body: { ...body } });
  }
  /** Revoke a key. When this returns, it is refused everywhere. */
  revokeKey(key: string, query: Of = {}): Promise<void> {
    return this.#delete(path("keys", key), query);
  }

  /** Open an account for a user of the product (platform keys). `zone`: an IANA time zone. */
  createAccount(
    fields: Keyed & { external_id?: string; name?: string; zone?: string } = {},
  ): Promise<spending.Account> {
    return this.send(once("/accounts", fields));
  }
  /** One account, by id or external id (platform keys). */
  getAccount(account: string): Promise<spending.Account> {
    return this.#get(path("accounts", account), {});
  }
  /** Grant credits to an account (platform keys). Default kind: bonus. */
  giveCredits(
    account: string,
    credits: Amount,
    fields: Keyed & { kind?: string; label?: string; expires_at?: Date; services?: string[]; reason?: string } = {},
  ): Promise<spending.AnyGrant> {
    return this.send(once(path("accounts", account, "grants"), { kind: "bonus", ...fields, credits }));
  }
  /** Plans, with prices in each currency and whether this account can subscribe. */
  plans(query: Of = {}): AsyncGenerator<spending.Plan> {
    return this.#items("/plans", query);
  }
  /** Packs, with prices in each currency and whether this account can buy them. */
  packs(query: Of = {}): AsyncGenerator<spending.Pack> {
    return this.#items("/packs", query);
  }
  /** A payment page for a pack or a plan. `confirm`: leaving a legacy plan, which cannot be undone. */
  checkout(
    fields: Of &
      Keyed & {
        pack?: string;
        plan?: string;
        currency?: string;
        quantity?: number;
        interval?: string;
        code?: string;
        confirm?: boolean;
      },
  ): Promise<buying.Checkout> {
    return this.send(once("/checkouts", fields));
  }
  /** Purchases, newest first. */
  purchases(query: Paged = {}): AsyncGenerator<buying.Purchase> {
    return this.#items("/purchases", query);
  }
  /** One purchase, with its refunds and what could be refunded. */
  getPurchase(purchase: string, query: Of = {}): Promise<buying.Purchase> {
    return this.#get(path("purchases", purchase), query);
  }
  /** Cancel a purchase that is not paid. */
  cancelPurchase(purchase: string, fields: Of & Keyed = {}): Promise<buying.Purchase> {
    return this.send(once(path("purchases", purchase, "cancel"), fields));
  }
  /** The invoice of a paid purchase, as a PDF file. */
  invoice(purchase: string, query: Of = {}): Promise<ArrayBuffer> {
    return this.send({ method: "GET", path: path("purchases", purchase, "invoice"), query: { ...query }, binary: true });
  }
  /** Withdraw the refund request of a purchase that is not decided yet. */
  withdrawRefundRequest(purchase: string, query: Of = {}): Promise<void> {
    return this.#delete(path("purchases", purchase, "refund-requests"), query);
  }
  /** Ask for a refund of what is unspent of a purchase. */
  requestRefund(purchase: string, fields: Of & Keyed & { reason?: string } = {}): Promise<buying.Refund> {
    return this.send(once(path("purchases", purchase, "refund-requests"), fields));
  }
  /** The plan of the account. */
  subscription(query: Of = {}): Promise<buying.Subscription> {
    return this.#get("/subscription", query);
  }
  /** Change the plan. `confirm`: leaving a legacy plan, which cannot be undone. */
  changeSubscription(
    plan: string,
    fields: Of & Keyed & { interval?: string; currency?: string; confirm?: boolean } = {},
  ): Promise<buying.Subscription> {
    return this.send(once("/subscription/change", fields, { plan }));
  }
  /** What a change of plan would cost and do; changes nothing. */
  previewSubscriptionChange(
    plan: string,
    fields: Of & { interval?: string; currency?: string } = {},
  ): Promise<buying.ChangePreview> {
    return this.send(once("/subscription/change", fields, { plan, preview: true }));
  }
  /** Cancel the plan at the end of its period. */
  cancelSubscription(fields: Of & Keyed & { feedback?: string; comment?: string } = {}): Promise<buying.Subscription> {
    return this.send(once("/subscription/cancel", fields));
  }
  /** Withdraw a cancellation that is scheduled. */
  resumeSubscription(fields: Of & Keyed = {}): Promise<buying.Subscription> {
    return this.send(once("/subscription/resume", fields));
  }
  /** Skip the payments and the credits of the next months. */
  pauseSubscription(months: number, fields: Of & Keyed = {}): Promise<buying.Subscription> {
    return this.send(once("/subscription/pause", fields, { months }));
  }
  /** End the pause: the plan goes on with the next month. */
  unpauseSubscription(fields: Of & Keyed = {}): Promise<buying.Subscription> {
    return this.send(once("/subscription/unpause", fields));
  }
  /** Redeem a promotion or invitation code. */
  redeem(code: string, fields: Of & Keyed = {}): Promise<buying.Redemption> {
    return this.send(once("/redemptions", fields, { code }));
  }
  /** Name, time zone and invoice details of the account. */
  settings(query: Of = {}): Promise<settings.AccountSettings> {
    return this.#get("/settings", query);
  }
  /** Change settings of the account. What is left out keeps its value. */
  updateSettings(
    body: Of & Partial<Omit<settings.AccountSettings, "account">>,
  ): Promise<settings.AccountSettings> {
    return this.send({ method: "PATCH", path: "/settings", body: { ...body } });
  }
  /** The saved card, and what the plan is charged to. */
  paymentMethod(query: Of = {}): Promise<settings.PaymentMethod> {
    return this.#get("/payment-method", query);
  }
  /** A page on which the buyer saves a card for the plan and automatic top-ups. */
  cardPage(fields: Of & Keyed = {}): Promise<settings.CardPage> {
    return this.send(once("/payment-method", fields));
  }
  /** Remove the saved card; one that pays a running plan must be replaced first. */
  removeCard(query: Of = {}): Promise<void> {
    return this.#delete("/payment-method", query);
  }
  /** The invitation link, and what it gives to both sides. */
  referralLink(query: Of = {}): Promise<settings.ReferralLink> {
    return this.#get("/referral-link", query);
  }
  /** Accounts that signed up through the link, newest first. */
  referrals(query: Paged = {}): AsyncGenerator<settings.Referral> {
    return this.#items("/referrals", query);
  }
  /** Settings of the alert for low credits. */
  alerts(query: Of = {}): Promise<settings.Alerts> {
    return this.#get("/alerts", query);
  }
  /** Set the alert for low credits; `below` in credits. */
  setAlerts(
    body: Of & { enabled: boolean; below: Amount; by_email?: boolean; extra_addresses?: string[] },
  ): Promise<settings.Alerts> {
    return this.send({ method: "PUT", path: "/alerts", body: { ...body } });
  }
  /** Settings and state of the automatic top-up. */
  autoTopUp(query: Of = {}): Promise<settings.AutoTopUp> {
    return this.#get("/auto-top-up", query);
  }
  /** Set the automatic top-up: `below` in credits, `monthly_amount` in minor units of `currency`. */
  setAutoTopUp(
    body: Of & {
      enabled: boolean;
      below?: Amount;
      pack?: string;
      currency?: string;
      monthly_amount?: number;
      monthly_count?: number;
    },
  ): Promise<settings.AutoTopUp> {
    return this.send({ method: "PUT", path: "/auto-top-up", body: { ...body } });
  }

  /** Endpoints of the account; with a platform key that names no account, those of the platform. */
  webhookEndpoints(query: Paged = {}): AsyncGenerator<webhooks.WebhookEndpoint> {
    return this.#items("/webhook-endpoints", query);
  }
  /** Create an endpoint for these types of events (default: all). Only this answer has its `secret`. */
  createWebhookEndpoint(url: string, fields: Of & webhooks.EndpointFields = {}): Promise<webhooks.WebhookEndpoint> {
    return this.#post("/webhook-endpoints", { url, ...fields });
  }
  /** Change an endpoint. One that is enabled again receives what was pending. */
  updateWebhookEndpoint(
    endpoint: string,
    body: Of & webhooks.EndpointFields & { url?: string; enabled?: boolean },
  ): Promise<webhooks.WebhookEndpoint> {
    return this.send({ method: "PATCH", path: path("webhook-endpoints", endpoint), body: { ...body } });
  }
  /** Delete an endpoint with its deliveries. */
  deleteWebhookEndpoint(endpoint: string, query: Of = {}): Promise<void> {
    return this.#delete(path("webhook-endpoints", endpoint), query);
  }
  /** Replace the secret; the answer has the new one. For 24 hours deliveries are signed with both. */
  rotateWebhookSecret(endpoint: string, of: Of = {}): Promise<webhooks.WebhookEndpoint> {
    return this.#post(path("webhook-endpoints", endpoint, "rotate-secret"), { ...of });
  }
  /** Send an event of the type `endpoint.test`. */
  testWebhookEndpoint(endpoint: string, of: Of = {}): Promise<webhooks.WebhookDelivery> {
    return this.#post(path("webhook-endpoints", endpoint, "test"), { ...of });
  }
  /** Deliveries, newest first. */
  webhookDeliveries(query: Paged & webhooks.DeliveryFilter = {}): AsyncGenerator<webhooks.WebhookDelivery> {
    return this.#items("/webhook-deliveries", query);
  }
  /** Send the event of a delivery again, with the same `webhook-id`. */
  redeliverWebhook(delivery: string, of: Of = {}): Promise<webhooks.WebhookDelivery> {
    return this.#post(path("webhook-deliveries", delivery, "redeliver"), { ...of });
  }

  /** Send a call, with its retries. */
  send<T>(call: Call): Promise<T> {
    return send<T>(this.#transport, this.#forAccount(call));
  }

  #forAccount(call: Call): Call {
    const { body, fallback } = { body: plainAmounts(call.body), fallback: plainAmounts(call.fallback) };
    if (this.#account === undefined || call.path.startsWith("/accounts")) return { ...call, body, fallback };
    const of = { account: this.#account };
    if (call.method === "GET" || call.method === "DELETE") return { ...call, query: { ...of, ...call.query } };
    return { ...call, body: { ...of, ...body }, fallback: fallback && { ...of, ...fallback } };
  }
  #get<T>(path: string, query: object): Promise<T> {
    return this.send({ method: "GET", path, query: { ...query } });
  }
  #delete(path: string, query: object): Promise<void> {
    return this.send({ method: "DELETE", path, repeatable: false, query: { ...query } });
  }
  #post<T>(path: string, body: Json, repeatable = false): Promise<T> {
    return this.send({ method: "POST", path, body, repeatable });
  }
  async *#items<T>(path: string, query: object): AsyncGenerator<T> {
    let cursor: string | null | undefined;
    do {
      const page: Page<T> = await this.#get(path, { ...query, ...(cursor && { cursor }) });
      yield* page.data;
      cursor = page.has_more ? page.next_cursor : null;
    } while (cursor);
  }
}
