/** Sending calls of one account, page after page for lists. The clients of nouns extend this class. */

import { plainAmounts } from "./bodies.ts";
import { type Call, type Json, type Retries, type Transport, send } from "./calls.ts";
import { type Event, streamed } from "./events.ts";

export interface ClientOptions {
  /** The account of calls that name none, for a platform key. */
  account?: string;
  retries?: Retries;
  /** Seconds for one attempt. Default: 30. */
  timeout?: number;
  fetch?: typeof fetch;
}
interface Page<T> {
  data: T[];
  has_more: boolean;
  next_cursor: string | null;
}

export class Requests {
  readonly #transport: Transport;
  readonly #account: string | undefined;

  constructor(url: string, key: string, options: ClientOptions = {}) {
    const { account, retries = {}, timeout = 30, fetch: own } = options;
    if (!/^https?:\/\//.test(url)) throw new TypeError("The URL of the portal begins with https:// or http://.");
    if (!key) throw new TypeError("The API key is empty.");
    this.#account = account;
    this.#transport = { url, key, retries, timeout, fetch: own ?? ((input, init) => fetch(input, init)) };
  }

  /** Send a call, with its retries. */
  send<T>(call: Call): Promise<T> {
    return send<T>(this.#transport, this.#forAccount(call));
  }

  protected get<T>(path: string, query: object): Promise<T> {
    return this.send({ method: "GET", path, query: { ...query } });
  }
  protected getFile(path: string, query: object): Promise<ArrayBuffer> {
    return this.send({ method: "GET", path, query: { ...query }, binary: true });
  }
  protected delete(path: string, query: object): Promise<void> {
    return this.send({ method: "DELETE", path, repeatable: false, query: { ...query } });
  }
  protected post<T>(path: string, body: Json, repeatable = false): Promise<T> {
    return this.send({ method: "POST", path, body, repeatable });
  }
  protected patch<T>(path: string, body: object): Promise<T> {
    return this.send({ method: "PATCH", path, body: { ...body } });
  }
  protected stream(call: Call): AsyncGenerator<Event> {
    return streamed(this.#transport, this.#forAccount(call));
  }
  protected async *items<T>(path: string, query: object): AsyncGenerator<T> {
    let cursor: string | null | undefined;
    do {
      const page: Page<T> = await this.get(path, { ...query, ...(cursor && { cursor }) });
      yield* page.data;
      cursor = page.has_more ? page.next_cursor : null;
    } while (cursor);
  }

  #forAccount(call: Call): Call {
    const { body, fallback } = { body: plainAmounts(call.body), fallback: plainAmounts(call.fallback) };
    if (this.#account === undefined || call.path.startsWith("/accounts")) return { ...call, body, fallback };
    const of = { account: this.#account };
    if (call.method === "GET" || call.method === "DELETE") return { ...call, query: { ...of, ...call.query } };
    return { ...call, body: { ...of, ...body }, fallback: fallback && { ...of, ...fallback } };
  }
}
