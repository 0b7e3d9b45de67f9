/** The objects of the API, with the API's own field names. Money is a number of the currency's minor unit. */

/** Credits in plain decimal notation, such as "5.5"; never a number. See `micro` for sums. */
export type Credits = string;
/** RFC 3339 in UTC; `new Date(time)` parses it. */
export type Time = string;

export interface Account {
  id: string;
  external_id: string | null;
  name: string;
  kind: string;
  zone: string;
  created_at: Time;
  plan: string | null;
}

export interface Grant {
  id: string;
  kind: string;
  label: string;
  granted: Credits;
  remaining: Credits;
  held: Credits;
  expires_at: Time | null;
  services: string[] | null;
}

/** The daily allowance. */
export interface Daily {
  amount: Credits;
  remaining: Credits;
  resets_at: Time;
}

export interface Balance {
  account: string;
  available: Credits;
  held: Credits;
  debt: Credits;
  as_of: Time;
  grants: Grant[];
  daily: Daily | null;
  unlimited_services: string[];
  low: boolean;
}

/** A grant in any state: in force, spent or expired. */
export interface AnyGrant extends Grant {
  reason: string;
  created_at: Time;
}

/** A ledger entry. */
export interface Transaction {
  id: string;
  kind: string;
  /** null for a charge that costs no credits */
  grant: string | null;
  /** Credits into the grant; negative for credits out of it. */
  credits: Credits;
  grant_after: Credits;
  balance_after: Credits;
  charge: string | null;
  hold: string | null;
  reason: string;
  actor: string;
  created_at: Time;
}

export interface Rate {
  version: string;
  effective_at: Time;
}

/** One line of a price: quantity, unit price and multipliers. */
export interface Line {
  meter: string;
  quantity: number | string;
  unit_credits: Credits;
  per: number;
  multipliers: Record<string, Credits>;
  credits: Credits;
  /** Number of blocks, where each block begun is charged whole. */
  blocks?: number;
}

/** Credits taken from one grant. */
export interface Drawn {
  grant: string;
  kind: string;
  credits: Credits;
}

export interface Report {
  id: string;
  charge: string;
  status: string;
  reason: string;
  answer: string;
  created_at: Time;
  answered_at: Time | null;
}

/** A charge: what was used, what it cost and which grants paid. */
export interface Charge {
  id: string;
  status: string;
  account: string;
  service: string;
  action: string | null;
  credits: Credits;
  created_at: Time;
  covered_by: string | null;
  uncollected: Credits;
  returned: Credits;
  drawn: Drawn[];
  balance_before: Credits;
  balance_after: Credits;
  hold: string | null;
  lines: Line[];
  rate: Rate;
  usage: Record<string, unknown>;
  options: Record<string, unknown>;
  metadata: Record<string, unknown>;
  project: string | null;
  conversation: string | null;
  member: string | null;
  api_key: string | null;
  report?: Report | null;
}

/** Credits returned to one grant. */
export interface Returned {
  grant: string;
  credits: Credits;
}

export interface Reversal {
  id: string;
  charge: string;
  credits: Credits;
  returned_to: Returned[];
  reason: string;
  balance_after: Credits;
  created_at: Time;
}

export interface Estimate {
  id: string;
  credits: Credits;
  maximum: Credits;
  lines: Line[];
  rate: Rate;
  available: Credits;
  sufficient: boolean;
  covered_by: string | null;
  approximate: boolean;
  valid_until: Time;
}

/** A child of a hold, with everything below it. */
export interface ChildHold {
  id: string;
  status: string;
  service: string;
  action: string | null;
  credits: Credits;
  spent: Credits;
  reserved: Credits;
  remaining: Credits;
}

/** The usage that was last reported for a hold, with its price. */
export interface ReportedUsage {
  usage: Record<string, unknown>;
  credits: Credits;
}

/** A hold that is neither captured, released nor expired. */
export interface OpenHold {
  id: string;
  account: string;
  service: string;
  action: string | null;
  credits: Credits;
  created_at: Time;
  expires_at: Time;
  project: string | null;
  conversation: string | null;
  member: string | null;
  parent: string | null;
}

/** A hold: credits reserved for a use, until it is captured, released or expires. */
export interface Hold {
  id: string;
  status: string;
  account: string;
  service: string;
  action: string | null;
  credits: Credits;
  created_at: Time;
  expires_at: Time;
  closed_at: Time | null;
  charge: string | null;
  lines: Line[];
  rate: Rate;
  usage: Record<string, unknown>;
  options: Record<string, unknown>;
  metadata: Record<string, unknown>;
  drawn: Drawn[];
  project: string | null;
  conversation: string | null;
  member: string | null;
  parent: string | null;
  /** What it and all holds below it were charged. */
  spent: Credits;
  /** What its open children reserve. */
  reserved: Credits;
  /** What is left for it and for new children. */
  remaining: Credits;
  /** The newest 100. */
  children: ChildHold[];
  /** What becomes of it when nobody captures it. */
  at_expiry: string;
  reported: ReportedUsage | null;
}

/** Use of one interval and group. */
export interface UsageSum {
  /** Start of the interval; null without `interval`. */
  start: Time | null;
  /** Value of the `group_by` dimension; null without `group_by`. */
  group: string | null;
  credits: Credits;
  charges: number;
}

export interface UsageReport {
  data: UsageSum[];
  total: { credits: Credits; charges: number };
  timezone: string;
}

/** Calls of one hour that were refused for one reason. The amounts are those of the last call. */
export interface Refusals {
  hour: Time;
  /** Code of the problem, such as "insufficient_credits". */
  code: string;
  /** The limit that was reached: "project", "member" or "key". */
  limit: string | null;
  /** Id of the project, member or key that has the limit. */
  subject: string | null;
  service: string | null;
  api_key: string | null;
  member: string | null;
  calls: number;
  first_at: Time;
  last_at: Time;
  needed: Credits | null;
  available: Credits | null;
  maximum: Credits | null;
  used: Credits | null;
  resets_at: Time | null;
}

export interface Project {
  id: string;
  name: string;
  daily_limit: Credits | null;
  archived: boolean;
  created_at: Time;
}

/** A provider key without its secret. */
export interface ProviderKey {
  id: string;
  provider: string;
  last_four: string;
  created_at: Time;
}

/** A price band: credits up to this quantity. */
export interface Band {
  up_to: number | null;
  credits: Credits;
}

export interface PriceLine {
  meter: string;
  credits: Credits;
  per: number;
  whole_blocks: boolean;
  /** Meters that may be sent instead. */
  also: string[];
  bands: Band[];
}

/** A service and its price. */
export interface Service {
  key: string;
  name: string;
  kind: string;
  modality: string;
  tags: string[];
  tier: string | null;
  speed: string | null;
  usage_class: string | null;
  best_for: string | null;
  providers: string[];
  quota: string | null;
  priced: boolean;
  cost_of_model: boolean;
  lines: PriceLine[];
  minimum: Credits;
  multiplier: Credits;
  options: Record<string, unknown>;
  rate: Rate | null;
}

export interface Sale {
  label: string;
  ends_at: Time;
}

export interface PackPrice {
  currency: string;
  /** Minor units, with the sale. */
  amount: number;
  /** Minor units, without the sale. */
  list_amount: number;
  /** Price of one credit in major units. */
  each: string;
  /** Saving per credit compared with the smallest pack. */
  saving_percent: number;
  sale: Sale | null;
}

export interface Pack {
  key: string;
  name: string;
  summary: string;
  credits: Credits;
  lasts: string;
  popular: boolean;
  paid_plans_only: boolean;
  /** Whether this account can buy the pack. */
  eligible: boolean;
  prices: PackPrice[];
}

export interface PlanPrice {
  interval: string;
  currency: string;
  /** Minor units of the currency. */
  amount: number;
}

/** Credits that a plan grants each period. */
export interface Allowance {
  label: string;
  kind: string;
  credits: Credits;
  period: string;
  services: string[] | null;
}

export interface Quota {
  key: string;
  label: string;
  maximum: number;
  period: string;
  used?: number;
}

export interface Plan {
  key: string;
  name: string;
  summary: string;
  features: string[];
  rank: number;
  free: boolean;
  legacy: boolean;
  carry_over: boolean;
  current: boolean;
  /** Whether this account can subscribe to the plan. */
  eligible: boolean;
  prices: PlanPrice[];
  allowances: Allowance[];
  quotas: Quota[];
  unlimited_services: string[];
}
