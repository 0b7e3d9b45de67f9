/**
 * A hold around a function. The rule at its end: a hold that was captured or released stays as it is, any other hold
 * is released, after an error as well as without one. If the outcome of a capture is unknown, nothing is released: it
 * may have taken effect, and can be sent again with its idempotency key until the hold expires.
 */

import type { CaptureFields, Client, HoldFields, Maximum } from "./client.ts";
import { ApiError, RefillError } from "./errors.ts";
import type { Charge, Hold as OpenHold } from "./spending.ts";
import type { Usage } from "./usage.ts";

export class Hold {
  readonly #client: Client;
  #toRelease = true;
  /** The hold as it was opened. */
  readonly hold: OpenHold;
  /** The charge, once captured. */
  charge: Charge | undefined;

  constructor(client: Client, hold: OpenHold) {
    this.#client = client;
    this.hold = hold;
  }

  get id(): string {
    return this.hold.id;
  }

  /** Settle the hold with the real usage, or with `credits`. */
  async capture(usage?: Usage, fields: CaptureFields = {}): Promise<Charge> {
    this.#toRelease = false; // from here on it may be captured
    try {
      this.charge = await this.#client.captureHold(this.id, usage, fields);
      return this.charge;
    } catch (error) {
      if (!(error instanceof RefillError) || error instanceof ApiError) this.#toRelease = true;
      throw error;
    }
  }

  /** A hold that reserves from this one while `act` runs; it ends no later. */
  child<R>(service: string, maximum: Maximum, act: (hold: Hold) => Promise<R>, fields: HoldFields = {}): Promise<R> {
    return this.#client.hold(service, maximum, act, { account: this.hold.account, ...fields, parent: this.id });
  }

  /** Report what has been used so far, in all (see `reportHoldUsage`). */
  report(usage: Usage): Promise<OpenHold> {
    return this.#client.reportHoldUsage(this.id, usage);
  }

  /** Drop the hold before the end of the function. */
  async release(): Promise<OpenHold> {
    const released = await this.#client.releaseHold(this.id);
    this.#toRelease = false;
    return released;
  }

  /** Release the hold unless it was captured. */
  async end(): Promise<void> {
    if (!this.#toRelease) return;
    this.#toRelease = false;
    try {
      await this.release();
    } catch (error) {
      // The hold ends by itself at `expires_at`; the error of the function must not be hidden.
      if (!(error instanceof RefillError)) throw error;
      console.warn(`hold ${this.id} was not released and ends at ${this.hold.expires_at}: ${error.message}`);
    }
  }
}
