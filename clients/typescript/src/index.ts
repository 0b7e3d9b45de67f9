/** Client of the Refill API: charges, holds and balances of prepaid credits. */

export { type Amount, credits, micro } from "./amounts.ts";
export type * from "./buying.ts";
export type * from "./settings.ts";
export type { Retries } from "./calls.ts";
export { type ChargedOptions, charged } from "./charged.ts";
export * from "./client.ts";
export * from "./errors.ts";
export type { Event } from "./events.ts";
export type * from "./members.ts";
export type * from "./history.ts";
export { Hold as HoldContext } from "./hold.ts";
export type * from "./spending.ts";
export { METERS, type Meter, type Meters, type Usage, usageOf } from "./usage.ts";
export type * from "./webhook-endpoints.ts";
export { type VerifyOptions, type WebhookEvent, verifyWebhook } from "./webhooks.ts";
