/** A request to the API as a value, and its attempts: which response is final, and when there is another attempt. */

import { ApiError, OutcomeUnknown, type Problem, RefillError, UnexpectedResponse, ofProblem } from "./errors.ts";

export type Json = Record<string, unknown>;

/** One request; retries send the same `body` with the same `key`. */
export interface Call {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  path: string;
  query?: Json | undefined;
  body?: Json | undefined;
  /** The idempotency key. A request that moves credits or money has one. */
  key?: string | undefined;
  /** For the stream of events: the id after which it continues. */
  lastEventId?: string | undefined;
  /** Whether it may be sent again when the outcome is unknown: it reads, replaces, or has a key. */
  repeatable?: boolean;
  /** Whether the answer is a file, which is returned as an ArrayBuffer. */
  binary?: boolean;
  /** The body for a service that does not price cached tokens separately (400 `unknown_meter`). */
  fallback?: Json | undefined;
}

/** How often and how long a call is repeated; times in seconds. */
export interface Retries {
  /** Default: 5. */
  attempts?: number;
  /** The bound of the first random waiting time; it doubles with each attempt. Default: 0.25. */
  firstWait?: number;
  /** A `Retry-After` beyond this throws the error instead of waiting. Default: 20. */
  longestWait?: number;
  /** A random number from 0 to 1; tests replace it. */
  chance?: () => number;
}

export interface Transport {
  url: string;
  key: string;
  fetch: typeof fetch;
  timeout: number;
  retries: Retries;
}

/** The path of an object, with its ids escaped. */
export function path(...parts: string[]): string {
  return `/${parts.map(encodeURIComponent).join("/")}`;
}

/** Send a call, with its retries. Throws the errors of `errors.ts`. */
export async function send<T>(transport: Transport, call: Call): Promise<T> {
  const { attempts = 5, longestWait = 20 } = transport.retries;
  const repeatable = call.repeatable ?? true;
  let body = call.body;
  let unknown = false; // whether an attempt may have taken effect
  for (let attempt = 1; ; attempt++) {
    const last = attempt >= attempts;
    const answer = await attempted(transport, call, body);
    if (answer instanceof Error) {
      if (last || !repeatable) {
        throw new OutcomeUnknown(`no answer: ${answer.message}`, call.key, { cause: answer });
      }
      unknown = true;
      await pause(jitter(transport.retries, attempt));
      continue;
    }
    if (answer.status >= 200 && answer.status < 300) return answer.content as T;
    const refusal = refused(call, answer);
    unknown ||= answer.status >= 500 || (refusal instanceof ApiError && refusal.code === "idempotency_key_in_progress");
    if (call.fallback && body !== call.fallback && lacksCachedMeter(refusal)) {
      body = call.fallback;
      continue;
    }
    if (last || !mayRepeat(refusal, repeatable) || (answer.retryAfter ?? 0) > longestWait) {
      // Such as 429 after an attempt without an answer: it does not tell the outcome either.
      if (unknown && mayRepeat(refusal, true)) throw new OutcomeUnknown(refusal.message, call.key, { cause: refusal });
      throw refusal;
    }
    await pause((answer.retryAfter ?? 0) + jitter(transport.retries, attempt));
  }
}

/** Open a stream: repeated until the server answers. Throws the errors of a refusal. */
export async function opened(transport: Transport, call: Call): Promise<ReadableStream<Uint8Array>> {
  for (let attempt = 1; ; attempt++) {
    let response: Response | undefined;
    try {
      const headers = headersOf(transport, call);
      response = await transport.fetch(urlOf(transport, call), { method: call.method, headers, redirect: "manual" });
    } catch {
      response = undefined; // no connection
    }
    if (response?.status === 200 && response.body) return response.body;
    if (response !== undefined) {
      const refusal = refused(call, await answerOf(call, response));
      if (!mayRepeat(refusal, true)) throw refusal;
    }
    await pause(1 + jitter(transport.retries, attempt));
  }
}

interface Answer {
  status: number;
  content: unknown;
  retryAfter: number | undefined;
}

/** One attempt: the answer, or the error because of which there is none. */
async function attempted(transport: Transport, call: Call, body: Json | undefined): Promise<Answer | Error> {
  const url = urlOf(transport, call);
  const headers = headersOf(transport, call);
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const signal = AbortSignal.timeout(transport.timeout * 1000);
  let response: Response;
  let text = "";
  let file: ArrayBuffer | undefined;
  try {
    const sent = body === undefined ? {} : { body: JSON.stringify(body) };
    response = await transport.fetch(url, { method: call.method, headers, signal, redirect: "manual", ...sent });
    if (call.binary && response.ok) file = await response.arrayBuffer();
    else text = await response.text();
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
  return file ? { status: response.status, content: file, retryAfter: undefined } : answered(call, response, text);
}

async function answerOf(call: Call, response: Response): Promise<Answer> {
  return answered(call, response, await response.text().catch(() => ""));
}

function answered(call: Call, response: Response, text: string): Answer {
  const seconds = Number(response.headers.get("Retry-After") ?? Number.NaN);
  return { status: response.status, content: parsed(call, text, response), retryAfter: seconds >= 0 ? seconds : undefined };
}

function urlOf(transport: Transport, call: Call): URL {
  const url = new URL(`${transport.url.replace(/\/+$/, "")}/api/v1${call.path}`);
  for (const [name, value] of Object.entries(call.query ?? {})) {
    if (value !== undefined) url.searchParams.set(name, value instanceof Date ? value.toISOString() : String(value));
  }
  return url;
}

function headersOf(transport: Transport, call: Call): Record<string, string> {
  const headers: Record<string, string> = { Authorization: `Bearer ${transport.key}` };
  if (call.key !== undefined) headers["Idempotency-Key"] = call.key;
  if (call.lastEventId !== undefined) headers["Last-Event-ID"] = call.lastEventId;
  return headers;
}

function parsed(call: Call, text: string, response: Response): unknown {
  if (text === "" && response.ok) return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    if (!response.ok) return undefined;
    throw new UnexpectedResponse(`${call.method} ${call.path}: the answer is not JSON`, { cause: error });
  }
}

function refused(call: Call, answer: Answer): RefillError {
  const problem = answer.content as Problem | undefined;
  if (answer.status >= 500) {
    return new OutcomeUnknown(problem?.detail ?? `the server answered ${answer.status}`, call.key);
  }
  if (answer.status < 400 || typeof problem !== "object" || problem === null) {
    return new UnexpectedResponse(`${call.method} ${call.path}: ${answer.status} without a problem`);
  }
  return ofProblem(answer.status, problem, answer.retryAfter);
}

function mayRepeat(refusal: RefillError, repeatable: boolean): boolean {
  if (refusal instanceof OutcomeUnknown) return repeatable;
  const code = refusal instanceof ApiError ? `${refusal.status} ${refusal.code}` : "";
  return code === "409 idempotency_key_in_progress" || code === "429 rate_limited";
}

function lacksCachedMeter(refusal: RefillError): boolean {
  const errors = refusal instanceof ApiError ? (refusal.problem["errors"] as { field: string }[] | undefined) : [];
  return (errors ?? []).some((error) => error.field === "usage.cached_input_tokens");
}

/** A random part of a bound that doubles (full jitter). */
function jitter({ firstWait = 0.25, longestWait = 20, chance = Math.random }: Retries, attempt: number): number {
  return Math.min(longestWait, firstWait * 2 ** (attempt - 1)) * chance();
}

function pause(seconds: number): Promise<void> {
  return new Promise((done) => setTimeout(done, seconds * 1000));
}
