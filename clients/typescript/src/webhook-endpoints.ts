/** Endpoints that receive webhooks, and deliveries. */

import type { Time } from "./spending.ts";

export interface EndpointFields {
  /** Types of events. */
  events?: string[];
  description?: string;
}

/** `account` is null for an endpoint of the platform, which gets events of all accounts. */
export interface WebhookEndpoint {
  id: string;
  account: string | null;
  url: string;
  description: string;
  events: string[];
  enabled: boolean;
  disabled_at: Time | null;
  disabled_reason: string | null;
  previous_secret_until: Time | null;
  created_at: Time;
  /** Only in the answer to its creation or rotation. */
  secret?: string;
}

export interface DeliveryFilter {
  endpoint?: string;
  status?: "pending" | "delivered" | "failed";
}

/** An event for one endpoint. */
export interface WebhookDelivery {
  id: string;
  endpoint: string;
  event: { id: string; type: string; account: string | null; created_at: Time };
  status: "pending" | "delivered" | "failed";
  attempts: number;
  attempted_at: Time | null;
  next_attempt_at: Time | null;
  /** The body of the request. */
  request: string;
  /** What the receiver answered to the last attempt. */
  response: { status: number | null; body: string; error: string | null; duration_ms: number } | null;
  created_at: Time;
}
