/** The methods of balances, charges, holds, projects, the history and events. */

import type { Amount } from "./amounts.ts";
import { once, withUsage } from "./bodies.ts";
import { type Call, type Json, path } from "./calls.ts";
import { ofProblem } from "./errors.ts";
import type { Event } from "./events.ts";
import type {
  BatchItem,
  BatchUse,
  CaptureFields,
  ChargeFields,
  ChargeFilters,
  HoldFields,
  Keyed,
  Maximum,
  Of,
  Paged,
  Period,
  ReportFields,
  UseFields,
} from "./fields.ts";
import type * as history from "./history.ts";
import { Requests } from "./requests.ts";
import type * as spending from "./spending.ts";
import { type Usage, usageOf } from "./usage.ts";

export class SpendingClient extends Requests {
  /** What the account can spend now, and the grants in the order in which they will be spent. */
  balance(query: Of = {}): Promise<spending.Balance> {
    return this.get("/balance", query);
  }
  /** Every grant, newest first; spent and expired ones included. */
  grants(query: Paged = {}): AsyncGenerator<spending.AnyGrant> {
    return this.items("/grants", query);
  }
  /** Ledger entries, newest first. */
  transactions(query: Paged & Period & { kind?: string; grant?: string } = {}): AsyncGenerator<spending.Transaction> {
    return this.items("/transactions", query);
  }
  /** What can be charged, with its price. */
  services(
    query: Paged & { kind?: string; modality?: string; tag?: string; tier?: string } = {},
  ): AsyncGenerator<spending.Service> {
    return this.items("/services", query);
  }
  /** One service and its price. */
  service(key: string, query: Of = {}): Promise<spending.Service> {
    return this.get(path("services", key), query);
  }
  /** What a use would cost; changes nothing. Give `usage`, or a `text` whose tokens are estimated. */
  estimate(service: string, usage: Usage | { text: string }, fields: UseFields = {}): Promise<spending.Estimate> {
    const body = { service, ...fields };
    const text = "text" in usage && typeof usage.text === "string" ? usage.text : undefined;
    if (text !== undefined) return this.post("/estimates", { ...body, text }, true);
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
    return this.items("/charges", query);
  }
  /** One charge. */
  getCharge(charge: string, query: Of = {}): Promise<spending.Charge> {
    return this.get(path("charges", charge), query);
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
    return this.post(path("charges", charge, "reports"), { reason, ...of });
  }
  /** Reserve credits; `hold` does it around a function. Throws BudgetExceeded where a `parent` has less left. */
  openHold(service: string, maximum: Maximum, fields: HoldFields = {}): Promise<spending.Hold> {
    const most = typeof maximum === "object" ? { usage: usageOf(maximum) } : { credits: maximum };
    return this.send(once("/holds", fields, { service, ...most }));
  }
  /** The account's open holds, newest first. */
  holds(query: Paged = {}): AsyncGenerator<spending.OpenHold> {
    return this.items("/holds", query);
  }
  /** One hold. */
  getHold(hold: string, query: Of = {}): Promise<spending.Hold> {
    return this.get(path("holds", hold), query);
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
    return this.get("/usage", query);
  }
  /** Refused calls of the last 90 days, counted by hour and reason, newest hours first. */
  refusals(query: Paged & { code?: string; api_key?: string } = {}): AsyncGenerator<spending.Refusals> {
    return this.items("/refusals", query);
  }
  /** Projects of the account. */
  projects(query: Paged = {}): AsyncGenerator<spending.Project> {
    return this.items("/projects", query);
  }
  /** Add a project; `daily_limit` in credits. */
  createProject(name: string, fields: Of & { daily_limit?: Amount } = {}): Promise<spending.Project> {
    return this.post("/projects", { name, ...fields });
  }
  /** Change a project; `daily_limit: null` removes its limit. */
  updateProject(
    project: string,
    body: Of & { name?: string; daily_limit?: Amount | null; archived?: boolean },
  ): Promise<spending.Project> {
    return this.patch(path("projects", project), body);
  }
  /** The account's own provider keys, without their secrets. */
  providerKeys(query: Paged = {}): AsyncGenerator<spending.ProviderKey> {
    return this.items("/provider-keys", query);
  }
  /** Store a provider key of the account. */
  addProviderKey(provider: string, key: string, of: Of = {}): Promise<spending.ProviderKey> {
    return this.post("/provider-keys", { provider, key, ...of });
  }
  /** Delete a provider key. */
  deleteProviderKey(providerKey: string, query: Of = {}): Promise<void> {
    return this.delete(path("provider-keys", providerKey), query);
  }
  /** Exports of the account, newest first. */
  exports(query: Paged = {}): AsyncGenerator<history.Export> {
    return this.items("/exports", query);
  }
  /** Start a file of the history, or of the entries that match. `getExport` shows its progress. */
  createExport(
    fields: Of & Keyed & Period & { kind?: string; grant?: string; search?: string } = {},
  ): Promise<history.Export> {
    return this.send(once("/exports", fields));
  }
  /** One export with its progress. */
  getExport(id: string, query: Of = {}): Promise<history.Export> {
    return this.get(path("exports", id), query);
  }
  /** The CSV file of an export. Throws Conflict (`export_not_ready`) until its state is `ready`. */
  downloadExport(id: string, query: Of = {}): Promise<ArrayBuffer> {
    return this.getFile(path("exports", id, "file"), query);
  }
  /** A page of the statement of a period, by default of the current month. Each page adds up. */
  statement(query: Paged & Period & { cursor?: string } = {}): Promise<history.Statement> {
    return this.get("/statement", query);
  }
  /** The signed statement as a JSON document, which the portal's `verify_statement.py` verifies offline. */
  signedStatement(query: Of & Period = {}): Promise<ArrayBuffer> {
    return this.getFile("/statement.json", query);
  }
  /** The members on the memorial wall, newest first. */
  memorialWall(query: Paged = {}): AsyncGenerator<history.ListedMember> {
    return this.items("/memorial-wall", query);
  }
  /**
   * Events of the account as they happen, without end. The connection is opened again when it breaks, and continues after the
   * last event (or after `lastEventId`, of another iterator); one may come twice.
   */
  events({ lastEventId, ...query }: Of & { lastEventId?: string } = {}): AsyncGenerator<Event> {
    return this.stream({ method: "GET", path: "/events", query, lastEventId });
  }
}
