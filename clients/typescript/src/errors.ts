/** Errors: one class for each refusal that a program handles differently. */

import type { Credits, Time } from "./spending.ts";

export type Problem = Record<string, unknown> & { code?: string; detail?: string; request_id?: string };

/** Base class of all errors of this package. */
export class RefillError extends Error {
  constructor(message?: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** The response is not one of the API, such as a proxy's HTML page. */
export class UnexpectedResponse extends RefillError {}

/** The webhook was not signed with one of the secrets, is too old, or has no valid headers. */
export class InvalidWebhook extends RefillError {}

/**
 * No answer, or one of 500 or more, after all attempts: the request may have taken effect.
 * Send it again with `idempotencyKey`: it takes effect once.
 */
export class OutcomeUnknown extends RefillError {
  readonly idempotencyKey: string | undefined;

  constructor(message: string, idempotencyKey: string | undefined, options?: ErrorOptions) {
    super(message, options);
    this.idempotencyKey = idempotencyKey;
  }
}

/** An invalid field of a request: its path, such as "usage.tokens". */
export interface FieldError {
  field: string;
  code: string;
  message: string;
}

/** What an account without credits can do: `upgrade` its plan, `wait` until a time, or `buy` a pack. */
export interface WayOn {
  kind: "upgrade" | "wait" | "buy" | (string & {});
  plan?: string;
  pack?: string;
  name?: string;
  label?: string;
  credits?: Credits;
  until?: Time;
  url?: string;
}

/** The API refused the request; nothing was changed. */
export class ApiError extends RefillError {
  readonly status: number;
  readonly problem: Problem;
  /** Seconds, from `Retry-After`. */
  readonly retryAfter: number | undefined;

  constructor(status: number, problem: Problem, retryAfter?: number) {
    super(`${status} ${problem.code}: ${problem.detail}`);
    this.status = status;
    this.problem = problem;
    this.retryAfter = retryAfter;
  }

  get code(): string {
    return this.problem.code ?? "";
  }
  get detail(): string {
    return this.problem.detail ?? "";
  }
  get requestId(): string {
    return this.problem.request_id ?? "";
  }
  protected text(member: string): string {
    return String(this.problem[member] ?? "");
  }
}

/** 400: `errors` names the invalid fields. */
export class InvalidRequest extends ApiError {
  get errors(): FieldError[] {
    return (this.problem["errors"] as FieldError[] | undefined) ?? [];
  }
}

/** 401: the key is missing, wrong or revoked. */
export class Unauthenticated extends ApiError {}

/** 402: the use costs more than the account can spend. `waysOn` lists what it can do. */
export class InsufficientCredits extends ApiError {
  get needed(): Credits {
    return this.text("needed");
  }
  get available(): Credits {
    return this.text("available");
  }
  get debt(): Credits {
    return this.text("debt") || "0";
  }
  get waysOn(): WayOn[] {
    return (this.problem["ways_on"] as WayOn[] | undefined) ?? [];
  }
}

/** 403: the key lacks the scope, or is of the wrong kind. */
export class PermissionDenied extends ApiError {}

/** 403 `quota_reached`: a counted allowance of the plan, such as files, is used up. */
export class QuotaReached extends ApiError {
  get quota(): string {
    return this.text("quota");
  }
  get maximum(): Credits {
    return this.text("maximum");
  }
  get used(): Credits {
    return this.text("used");
  }
}

/** 404: the object does not exist or belongs to another account. */
export class NotFound extends ApiError {}

/** 409: the state of an object does not allow the request; `code` says why. */
export class Conflict extends ApiError {}

/** 409 `service_unpriced`: the service cannot be charged until it has a rate. */
export class ServiceUnpriced extends Conflict {}

/** 409 `hold_closed`: the hold has been captured, released, or has expired. */
export class HoldClosed extends Conflict {
  get holdStatus(): string {
    return this.text("hold_status");
  }
}

/** 402 `budget_exceeded`: the parent hold has less left than its child asks for. */
export class BudgetExceeded extends ApiError {
  get needed(): Credits {
    return this.text("needed");
  }
  get remaining(): Credits {
    return this.text("remaining");
  }
}

/** 409 `children_open`: the hold has open children, which have to be closed first. */
export class ChildrenOpen extends Conflict {
  get children(): number {
    return Number(this.problem["children"] ?? 0);
  }
}

/** 422: the idempotency key has been used for another request. */
export class KeyReused extends ApiError {}

/** 429 `limit_reached`: the limit of a project, member or key, until `resetsAt`. */
export class LimitReached extends ApiError {
  get limit(): string {
    return this.text("limit");
  }
  get maximum(): Credits {
    return this.text("maximum");
  }
  get used(): Credits {
    return this.text("used");
  }
  get resetsAt(): Date | undefined {
    const at = this.text("resets_at");
    return at ? new Date(at) : undefined;
  }
}

/** 429 `rate_limited`: too many requests with this key, for `retryAfter` seconds. */
export class RateLimited extends ApiError {}

type Kind = new (status: number, problem: Problem, retryAfter?: number) => ApiError;
const OF_CODE: Record<string, Kind> = {
  budget_exceeded: BudgetExceeded,
  children_open: ChildrenOpen,
  quota_reached: QuotaReached,
  service_unpriced: ServiceUnpriced,
  hold_closed: HoldClosed,
  limit_reached: LimitReached,
};
const OF_STATUS: Record<number, Kind> = {
  401: Unauthenticated,
  402: InsufficientCredits,
  403: PermissionDenied,
  404: NotFound,
  409: Conflict,
  422: KeyReused,
  429: RateLimited,
};

/** The error for a problem document (RFC 9457). */
export function ofProblem(status: number, problem: Problem, retryAfter?: number): ApiError {
  const kind = OF_CODE[problem.code ?? ""] ?? OF_STATUS[status] ?? InvalidRequest;
  return new kind(status, problem, retryAfter);
}
