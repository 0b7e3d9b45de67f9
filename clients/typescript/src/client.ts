/** The client: every endpoint as a method, holds, and lists as asynchronous iterators. */

import type { Amount } from "./amounts.ts";
import { once } from "./bodies.ts";
import type * as buying from "./buying.ts";
import { path } from "./calls.ts";
import type { HoldFields, KeyTerms, Keyed, Maximum, MemberTerms, Of, Paged } from "./fields.ts";
import { Hold } from "./hold.ts";
import type * as members from "./members.ts";
import type * as settings from "./settings.ts";
import { SpendingClient } from "./spending-client.ts";
import type * as spending from "./spending.ts";
import type * as webhooks from "./webhook-endpoints.ts";

export type * from "./fields.ts";
export type { ClientOptions } from "./requests.ts";

/** A client of the portal at `url`, such as "https://credits.example.org", with an API key. */
export class Client extends SpendingClient {
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

  /** Members of the account, newest first. */
  members(query: Paged = {}): AsyncGenerator<members.Member> {
    return this.items("/members", query);
  }
  /**
   * Add a user of the product (platform keys), by a verified address, id or external id. With any other key the address is
   * invited, and the result is the invitation.
   */
  addMember(body: Of & MemberTerms & { email?: string; user?: string }): Promise<members.Member | members.Invitation> {
    return this.post("/members", { ...body });
  }
  /** Change a member's role or monthly limit; `monthly_limit: null` removes the limit. */
  updateMember(member: string, body: Of & MemberTerms): Promise<members.Member> {
    return this.patch(path("members", member), body);
  }
  /** Remove a member, whose keys end. */
  removeMember(member: string, query: Of = {}): Promise<void> {
    return this.delete(path("members", member), query);
  }
  /** Make the member an owner, and the creator of the key, who is one, a billing member. */
  handOver(member: string, of: Of = {}): Promise<members.Member> {
    return this.post(path("members", member, "hand-over"), { ...of });
  }
  /** Leave the account: the membership of the key's creator ends, and with it the key. */
  leave(of: Of = {}): Promise<void> {
    return this.post("/members/leave", { ...of });
  }
  /** Requests of the key's creator for a team account, newest first. */
  teamRequests(query: Paged = {}): AsyncGenerator<members.TeamRequest> {
    return this.items("/team-requests", query);
  }
  /** Ask for a `family` or `business` account; the answer is sent by e-mail. */
  requestTeam(kind: string, name: string, fields: Of & { note?: string } = {}): Promise<members.TeamRequest> {
    return this.post("/team-requests", { kind, name, ...fields });
  }
  /** Withdraw an open request for a team account. */
  withdrawTeamRequest(teamRequest: string, query: Of = {}): Promise<void> {
    return this.delete(path("team-requests", teamRequest), query);
  }
  /** Invitations of the account, newest first. */
  invitations(query: Paged = {}): AsyncGenerator<members.Invitation> {
    return this.items("/invitations", query);
  }
  /** Invite an address to the account, or send its open invitation again. */
  invite(email: string, body: Of & MemberTerms = {}): Promise<members.Invitation> {
    return this.post("/invitations", { email, ...body });
  }
  /** Revoke an open invitation. */
  revokeInvitation(invitation: string, query: Of = {}): Promise<void> {
    return this.delete(path("invitations", invitation), query);
  }
  /** Keys of the account, newest first, revoked and expired ones included. */
  keys(query: Paged = {}): AsyncGenerator<members.Key> {
    return this.items("/keys", query);
  }
  /** Create a key. `member`, for platform keys: the user with whose membership it ends. */
  createKey(name: string, scopes: string[], body: Of & KeyTerms & { member?: string } = {}): Promise<members.NewKey> {
    return this.post("/keys", { name, scopes, ...body });
  }
  /** Change a key; null removes a limit or the expiry. */
  updateKey(key: string, body: Of & KeyTerms & { name?: string; scopes?: string[] }): Promise<members.Key> {
    return this.patch(path("keys", key), body);
  }
  /** Revoke a key. When this returns, it is refused everywhere. */
  revokeKey(key: string, query: Of = {}): Promise<void> {
    return this.delete(path("keys", key), query);
  }
  /** Name, time zone and invoice details of the account. */
  settings(query: Of = {}): Promise<settings.AccountSettings> {
    return this.get("/settings", query);
  }
  /** Change settings of the account. What is left out keeps its value. */
  updateSettings(
    body: Of & Partial<Omit<settings.AccountSettings, "account">>,
  ): Promise<settings.AccountSettings> {
    return this.patch("/settings", body);
  }
  /** The invitation link, and what it gives to both sides. */
  referralLink(query: Of = {}): Promise<settings.ReferralLink> {
    return this.get("/referral-link", query);
  }
  /** Accounts that signed up through the link, newest first. */
  referrals(query: Paged = {}): AsyncGenerator<settings.Referral> {
    return this.items("/referrals", query);
  }
  /** The budget of a calendar month, and what is used of it. */
  monthlyBudget(query: Of = {}): Promise<settings.MonthlyBudget> {
    return this.get("/monthly-budget", query);
  }
  /** Set the monthly budget, null removes it. With `pauses` what exceeds it is refused. */
  setMonthlyBudget(credits: Amount | null, body: Of & { pauses?: boolean } = {}): Promise<settings.MonthlyBudget> {
    return this.send({ method: "PUT", path: "/monthly-budget", body: { credits, ...body } });
  }
  /** Settings of the alert for low credits. */
  alerts(query: Of = {}): Promise<settings.Alerts> {
    return this.get("/alerts", query);
  }
  /** Set the alert for low credits; `below` in credits. */
  setAlerts(
    body: Of & {
      enabled: boolean;
      below: Amount;
      also_below?: Amount[];
      by_email?: boolean;
      extra_addresses?: string[];
    },
  ): Promise<settings.Alerts> {
    return this.send({ method: "PUT", path: "/alerts", body: { ...body } });
  }
  /** Endpoints of the account; with a platform key that names no account, those of the platform. */
  webhookEndpoints(query: Paged = {}): AsyncGenerator<webhooks.WebhookEndpoint> {
    return this.items("/webhook-endpoints", query);
  }
  /** Create an endpoint for these types of events (default: all). Only this answer has its `secret`. */
  createWebhookEndpoint(url: string, fields: Of & webhooks.EndpointFields = {}): Promise<webhooks.WebhookEndpoint> {
    return this.post("/webhook-endpoints", { url, ...fields });
  }
  /** Change an endpoint. One that is enabled again receives what was pending. */
  updateWebhookEndpoint(
    endpoint: string,
    body: Of & webhooks.EndpointFields & { url?: string; enabled?: boolean },
  ): Promise<webhooks.WebhookEndpoint> {
    return this.patch(path("webhook-endpoints", endpoint), body);
  }
  /** Delete an endpoint with its deliveries. */
  deleteWebhookEndpoint(endpoint: string, query: Of = {}): Promise<void> {
    return this.delete(path("webhook-endpoints", endpoint), query);
  }
  /** Replace the secret; the answer has the new one. For 24 hours deliveries are signed with both. */
  rotateWebhookSecret(endpoint: string, of: Of = {}): Promise<webhooks.WebhookEndpoint> {
    return this.post(path("webhook-endpoints", endpoint, "rotate-secret"), { ...of });
  }
  /** Send an event of the type `endpoint.test`. */
  testWebhookEndpoint(endpoint: string, of: Of = {}): Promise<webhooks.WebhookDelivery> {
    return this.post(path("webhook-endpoints", endpoint, "test"), { ...of });
  }
  /** Deliveries, newest first. */
  webhookDeliveries(query: Paged & webhooks.DeliveryFilter = {}): AsyncGenerator<webhooks.WebhookDelivery> {
    return this.items("/webhook-deliveries", query);
  }
  /** Send the event of a delivery again, with the same `webhook-id`. */
  redeliverWebhook(delivery: string, of: Of = {}): Promise<webhooks.WebhookDelivery> {
    return this.post(path("webhook-deliveries", delivery, "redeliver"), { ...of });
  }

  /** Open an account for a user of the product (platform keys). `zone`: an IANA time zone. */
  createAccount(
    fields: Keyed & { external_id?: string; name?: string; zone?: string } = {},
  ): Promise<spending.Account> {
    return this.send(once("/accounts", fields));
  }
  /** One account, by id or external id (platform keys). */
  getAccount(account: string): Promise<spending.Account> {
    return this.get(path("accounts", account), {});
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
    return this.items("/plans", query);
  }
  /** Packs, with prices in each currency and whether this account can buy them. */
  packs(query: Of = {}): AsyncGenerator<spending.Pack> {
    return this.items("/packs", query);
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
  /** What packs would cost, with the discount of a promotion code; creates nothing. */
  previewCheckout(
    pack: string,
    fields: Of & { quantity?: number; currency?: string; code?: string } = {},
  ): Promise<buying.CheckoutPreview> {
    return this.send(once("/checkouts", fields, { pack, preview: true }));
  }
  /** Purchases, newest first. */
  purchases(query: Paged = {}): AsyncGenerator<buying.Purchase> {
    return this.items("/purchases", query);
  }
  /** One purchase, with its refunds and what could be refunded. */
  getPurchase(purchase: string, query: Of = {}): Promise<buying.Purchase> {
    return this.get(path("purchases", purchase), query);
  }
  /** Cancel a purchase that is not paid. */
  cancelPurchase(purchase: string, fields: Of & Keyed = {}): Promise<buying.Purchase> {
    return this.send(once(path("purchases", purchase, "cancel"), fields));
  }
  /** The invoice of a paid purchase, as a PDF file. */
  invoice(purchase: string, query: Of = {}): Promise<ArrayBuffer> {
    return this.getFile(path("purchases", purchase, "invoice"), query);
  }
  /** Withdraw the refund request of a purchase that is not decided yet. */
  withdrawRefundRequest(purchase: string, query: Of = {}): Promise<void> {
    return this.delete(path("purchases", purchase, "refund-requests"), query);
  }
  /** Ask for a refund of what is unspent of a purchase. */
  requestRefund(purchase: string, fields: Of & Keyed & { reason?: string } = {}): Promise<buying.Refund> {
    return this.send(once(path("purchases", purchase, "refund-requests"), fields));
  }
  /** The plan of the account. */
  subscription(query: Of = {}): Promise<buying.Subscription> {
    return this.get("/subscription", query);
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
  /** Pay the overdue invoice of the plan with its card. `url` is the page to confirm the payment on. */
  payOverdue(fields: Of & Keyed = {}): Promise<buying.OverduePayment> {
    return this.send(once("/subscription/pay", fields));
  }
  /** Redeem a promotion or invitation code. */
  redeem(code: string, fields: Of & Keyed = {}): Promise<buying.Redemption> {
    return this.send(once("/redemptions", fields, { code }));
  }
  /** The saved card, and what the plan is charged to. */
  paymentMethod(query: Of = {}): Promise<settings.PaymentMethod> {
    return this.get("/payment-method", query);
  }
  /** A page on which the buyer saves a card for the plan and automatic top-ups. */
  cardPage(fields: Of & Keyed = {}): Promise<settings.CardPage> {
    return this.send(once("/payment-method", fields));
  }
  /** Remove the saved card; one that pays a running plan must be replaced first. */
  removeCard(query: Of = {}): Promise<void> {
    return this.delete("/payment-method", query);
  }
  /** Stripe's page of the card, the address and the invoices. */
  customerPortal(of: Of = {}): Promise<settings.CustomerPortal> {
    return this.post("/customer-portal", { ...of });
  }
  /** Settings and state of the automatic top-up. */
  autoTopUp(query: Of = {}): Promise<settings.AutoTopUp> {
    return this.get("/auto-top-up", query);
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
  /** Confirm the top-up that the bank wants confirmed. `url` is the bank's page for the cardholder. */
  confirmTopUp(fields: Of & Keyed = {}): Promise<settings.ConfirmedTopUp> {
    return this.send(once("/auto-top-up/confirm", fields));
  }
}
