/** Fields of requests that several methods take. */

import type { Amount } from "./amounts.ts";
import type { Json } from "./calls.ts";
import type { ApiError } from "./errors.ts";
import type * as spending from "./spending.ts";
import type { Meters, Usage } from "./usage.ts";

/** The account, for platform keys: id or external id. */
export interface Of {
  account?: string;
}
export interface Keyed {
  /** Default: a new one. */
  idempotencyKey?: string;
}
export interface UseFields extends Of {
  action?: string;
  options?: Json;
  project?: string;
  conversation?: string;
  member?: string;
  metadata?: Json;
  /** The use was paid with the account's own provider key. */
  own_key?: boolean;
}
export interface ChargeFields extends UseFields {
  /** Id of an estimate: the use is priced by its rate version. */
  estimate?: string;
}
export interface HoldFields extends ChargeFields, Keyed {
  /** Seconds. Default: 900. */
  expires_in?: number;
  /** A hold to reserve from, instead of the balance. */
  parent?: string;
}
export interface ReportFields extends Of {
  options?: Json;
  metadata?: Json;
}
export interface CaptureFields extends Of, Keyed {
  /** An amount instead of the usage. */
  credits?: Amount;
  options?: Json;
  metadata?: Json;
}
export interface BatchUse extends ChargeFields {
  service: string;
  usage?: Usage;
  idempotency_key?: string;
}
export interface BatchItem {
  status: number;
  idempotency_key: string;
  charge?: spending.Charge;
  error?: ApiError;
  replayed: boolean;
}
/** The largest expected usage, or an amount of credits. */
export type Maximum = Meters | Amount;
export interface Paged extends Of {
  limit?: number;
}
export interface Period {
  /** Included. */
  from?: Date;
  /** Excluded. */
  to?: Date;
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
