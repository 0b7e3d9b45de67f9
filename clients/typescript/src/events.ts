/** The stream of an account's events: Server-Sent Events as objects. */

import type { Purchase } from "./buying.ts";
import { type Call, type Transport, opened } from "./calls.ts";
import type { Balance, Charge } from "./spending.ts";

/** An event: the object of its `type` as it is now. `reload`: more has happened than the server repeats. */
export type Event =
  | { id: string; type: "balance"; data: Balance }
  | { id: string; type: "charge"; data: Charge }
  | { id: string; type: "purchase"; data: Purchase }
  | { id: string; type: "reload"; data: Record<string, never> };

const KINDS = ["balance", "charge", "purchase", "reload"];
const SILENCE = 60; // seconds; the server writes at least every 20
const REOPEN = 1; // seconds

/** The events of a stream, which is opened again when it ends or breaks. Throws the errors of a refusal. */
export async function* streamed(transport: Transport, call: Call): AsyncGenerator<Event> {
  let lastEventId = call.lastEventId;
  for (;;) {
    const body = await opened(transport, { ...call, lastEventId });
    for await (const event of read(body)) {
      lastEventId = event.id;
      yield event;
    }
    await new Promise((done) => setTimeout(done, REOPEN * 1000));
  }
}

/** The events that arrive, until the stream ends, breaks or is silent for too long. */
async function* read(body: ReadableStream<Uint8Array>): AsyncGenerator<Event> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  try {
    for (;;) {
      const chunk = await arrived(reader);
      if (chunk === undefined) return;
      text += decoder.decode(chunk, { stream: true });
      const blocks = text.split("\n\n");
      text = blocks.pop() ?? "";
      for (const block of blocks) {
        const event = eventOf(block);
        if (event !== undefined) yield event;
      }
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

/** The next bytes; undefined when there are none any more. */
async function arrived(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<Uint8Array | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silent = new Promise<undefined>((done) => {
    timer = setTimeout(() => done(undefined), SILENCE * 1000);
  });
  try {
    const next = await Promise.race([reader.read(), silent]);
    return next?.value;
  } catch {
    return undefined; // the connection broke
  } finally {
    clearTimeout(timer);
  }
}

function eventOf(block: string): Event | undefined {
  const fields: Record<string, string> = {};
  for (const line of block.split("\n")) {
    const colon = line.indexOf(": ");
    if (colon > 0) fields[line.slice(0, colon)] = line.slice(colon + 2);
  }
  const { id = "", event = "", data = "{}" } = fields;
  return KINDS.includes(event) ? ({ id, type: event, data: JSON.parse(data) } as Event) : undefined;
}
