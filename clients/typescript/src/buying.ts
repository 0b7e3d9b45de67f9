/** Purchases and the subscription. */

import type { Credits, Quota, Time } from "./spending.ts";

/** A purchase and its payment page. */
export interface Checkout {
  /** Id of the purchase. */
  id: string;
  purchase: string;
  url: string;
  status: string;
  /** Minor units of the currency. */
  amount: number;
  currency: string;
  credits: Credits;
}

export interface Refund {
  id: string;
  purchase: string;
  status: string;
  /** Minor units of the currency. */
  amount: number;
  currency: string;
  credits: Credits;
  reason: string;
  decision: string;
  created_at: Time;
  decided_at: Time | null;
}

/** What a refund request would return now. */
export interface Refundable {
  /** Minor units of the currency. */
  amount: number;
  /** Why nothing can be refunded. */
  code?: string;
  credits?: Credits;
  /** End of the refund period. */
  until?: Time;
}

export interface Purchase {
  id: string;
  account: string;
  status: string;
  kind: string;
  origin: string;
  pack: string | null;
  plan: string | null;
  label: string;
  quantity: number;
  credits: Credits;
  credits_left: Credits;
  /** Minor units: the price; once paid, the money received, tax included. */
  amount: number;
  /** Minor units of the currency. */
  list_amount: number;
  /** Minor units of tax in the whole purchase. */
  tax: number;
  /** Minor units paid from the credit balance at Stripe. */
  balance_used: number;
  /** Minor units of the currency. */
  refunded: number;
  /** Status of the dispute that withdrew the money or is not decided; null when there is none. */
  dispute: string | null;
  currency: string;
  payment_method: string | null;
  invoice_number: string | null;
  receipt_url: string | null;
  checkout_url: string | null;
  failure: string | null;
  created_at: Time;
  paid_at: Time | null;
  refunds?: Refund[];
  refundable?: Refundable;
}

export interface Cancellation {
  feedback: string | null;
  comment: string | null;
}

/** A change of plan whose payment the cardholder has to confirm with the bank. */
export interface PendingChange {
  plan: string;
  /** Stripe's page, where the cardholder confirms the payment. */
  url: string;
  /** Until then; afterwards nothing changes and nothing is charged. */
  expires_at: Time;
  /** A sentence for the cardholder. */
  message: string;
}

/** The purchase of a plan whose payment takes days. `usual_days`: business days, null when unknown. */
export interface PendingPlan {
  id: string;
  plan: string;
  interval: string;
  payment_method: string | null;
  usual_days: number | null;
  created_at: Time;
}

export interface Subscription {
  account: string;
  plan: string;
  name: string;
  state: string;
  legacy: boolean;
  interval: string | null;
  /** Minor units of the currency. */
  amount: number;
  currency: string | null;
  period_start: Time;
  period_end: Time | null;
  cancel_at_period_end: boolean;
  next_plan: string | null;
  /** End of a pause, during which the plan is not paid. */
  paused_until: Time | null;
  /** The reason given for a cancellation that is scheduled. */
  cancellation: Cancellation | null;
  /** A change of plan that takes effect when its payment is confirmed. */
  pending_change: PendingChange | null;
  /** A plan whose payment is being processed; it cannot be bought again meanwhile. */
  pending_purchase: PendingPlan | null;
  recovery_url: string | null;
  unlimited_services: string[];
  quotas: Quota[];
  checkout?: Checkout;
}

/** Minor units. The account's credit at Stripe pays its next invoices. */
export interface ChangeCharge {
  /** Price of the new period. */
  price: number;
  /** Credited for the unused part of the current period. */
  unused: number;
  /** Paid from the account's credit at Stripe. */
  credit_used: number;
  /** Added to the account's credit, because it exceeds the price. */
  credit_added: number;
  /** Not charged now, because it is less than the smallest amount that can be charged. */
  added_to_next_invoice: number;
}

/** What a change of plan does to a grant. */
export interface GrantOutcome {
  label: string;
  remaining: Credits;
  /** `stays`: unchanged. `carried`: moved to the new plan. `lost`: expires now. `until`: expires when the change takes effect. */
  fate: string;
}

/** Credits that a change of plan grants at once. */
export interface NewGrant {
  label: string;
  credits: Credits;
}

/** What a change of plan would cost and do. */
export interface ChangePreview {
  kind: string;
  plan: string;
  interval: string | null;
  currency: string;
  /** Price of the new plan each interval, in minor units. */
  amount: number;
  /** Amount charged at once, in minor units. */
  due_now: number;
  /** How the amount of a change that takes effect at once comes about. */
  charge: ChangeCharge | null;
  takes_effect: Time;
  /** Whether the change leaves a legacy plan, which cannot be undone. */
  leaves_legacy: boolean;
  grants: GrantOutcome[];
  arrivals: NewGrant[];
}

export interface Redemption {
  code: string;
  kind: string;
  credits: Credits;
}

/** With `paid` false and no `url` nothing was due. */
export interface OverduePayment {
  paid: boolean;
  /** The page on which the buyer pays: the bank wants the payment confirmed. */
  url: string | null;
  subscription: Subscription;
}

/** What packs would cost. Amounts are minor units of the currency. */
export interface CheckoutPreview {
  pack: string;
  quantity: number;
  credits: Credits;
  list_amount: number;
  discount: number;
  amount: number;
  currency: string;
}
