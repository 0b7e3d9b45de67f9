/** Settings of the account, its saved card and its invitation link. */

import type { Credits, Time } from "./spending.ts";

export interface AccountSettings {
  account: string;
  name: string;
  /** IANA time zone in which days and months begin. */
  zone: string;
  invoice_name: string;
  invoice_address: string;
  tax_id: string;
  on_memorial_wall: boolean;
}

export interface PaymentMethod {
  /** The saved card, which pays automatic top-ups. */
  card: Card | null;
  /** What the plan is charged to. `brand` is the type of a method that is not a card. */
  plan: Card | null;
}

/** A page on which the buyer saves a card. */
export interface CardPage {
  url: string;
}

/** The invitation link, and what it gives to both sides. */
export interface ReferralLink {
  code: string;
  url: string;
  inviter_credits: Credits;
  invited_credits: Credits;
  /** What the invited account must have done: `sign_up`, `first_charge` or `first_purchase`. */
  qualifies: string;
  services: string[] | null;
  most_invitations: number | null;
}

/** An account that signed up through the invitation link. */
export interface Referral {
  id: string;
  state: string;
  reason: string | null;
  created_at: Time;
  rewarded_at: Time | null;
}

export interface Alerts {
  enabled: boolean;
  below: Credits;
  /** Further thresholds, the highest first. */
  also_below: Credits[];
  by_email: boolean;
  extra_addresses: string[];
  /** Additional addresses whose readers have not agreed to get alerts. */
  unconfirmed_addresses: string[];
}

export interface MonthlyBudget {
  /** Null: no budget. */
  credits: Credits | null;
  /** Whether calls beyond the budget are refused. */
  pauses: boolean;
  used: Credits | null;
  resets_at: Time | null;
}

export interface Card {
  brand: string;
  last4: string;
  expires: string;
}

export interface AutoTopUp {
  enabled: boolean;
  below: Credits;
  pack: string | null;
  currency: string | null;
  /** Minor units of the currency. */
  monthly_amount: number;
  monthly_count: number;
  /** Minor units of the currency. */
  spent_this_month: number;
  bought_this_month: number;
  last_outcome: string | null;
  last_tried_at: Time | null;
  card: Card | null;
  /** Whether the bank wants the last payment confirmed. */
  confirmation_needed: boolean;
}

/** With `paid` false and no `url` there was no payment to confirm. */
export interface ConfirmedTopUp {
  paid: boolean;
  /** The bank's page on which the cardholder confirms the payment. */
  url: string | null;
  auto_top_up: AutoTopUp;
}

/** Stripe's page of the card, the address and the invoices. */
export interface CustomerPortal {
  url: string;
}
