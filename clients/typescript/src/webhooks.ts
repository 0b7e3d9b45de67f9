/** Verification of webhooks that Refill sends: Standard Webhooks, https://www.standardwebhooks.com/. */

import { InvalidWebhook } from "./errors.ts";

export const TOLERANCE_SECONDS = 300;

/** The event of a webhook. */
export type WebhookEvent = Record<string, unknown>;

export interface VerifyOptions {
  /** Seconds that the webhook may be old. Default: 300. */
  tolerance?: number;
  /** Seconds since 1970. Default: the clock. */
  now?: number;
}

/**
 * The event of a webhook, after its signature and age are verified. `body`: the request's body as received. `secrets`:
 * one `whsec_…`, or several during a rotation. The header may have several signatures; one has to match one secret.
 * Throws InvalidWebhook. The same event can come twice: its `webhook-id` header is the same each time.
 */
export async function verifyWebhook(
  body: string | Uint8Array<ArrayBuffer>,
  headers: Headers | Record<string, string | string[] | undefined>,
  secrets: string | string[],
  options: VerifyOptions = {},
): Promise<WebhookEvent> {
  const named = headers instanceof Headers ? headers : plain(headers);
  const [id, sentAt] = [named.get("webhook-id"), named.get("webhook-timestamp")];
  const signatures = (named.get("webhook-signature") ?? "").split(/\s+/);
  if (id === null || sentAt === null || !/^\d+$/.test(sentAt)) {
    throw new InvalidWebhook("the headers of a webhook are missing or invalid");
  }
  const age = (options.now ?? Date.now() / 1000) - Number(sentAt);
  if (Math.abs(age) > (options.tolerance ?? TOLERANCE_SECONDS)) {
    throw new InvalidWebhook(`the webhook was sent ${Math.round(age)} seconds ago`);
  }
  const text = typeof body === "string" ? body : new TextDecoder().decode(body);
  const signed = new TextEncoder().encode(`${id}.${sentAt}.${text}`);
  let matches = false;
  for (const secret of Array.isArray(secrets) ? secrets : [secrets]) {
    const key = await hmacKey(secret);
    for (const signature of signatures) {
      // Web Crypto compares in constant time.
      const valid = signature.startsWith("v1,") && (await verified(key, signature.slice(3), signed));
      matches ||= valid;
    }
  }
  if (!matches) throw new InvalidWebhook("no signature of the webhook is valid");
  const event: unknown = parsed(text);
  if (event === null || typeof event !== "object" || Array.isArray(event)) {
    throw new InvalidWebhook("the body is not an event");
  }
  return event as WebhookEvent;
}

function plain(headers: Record<string, string | string[] | undefined>): Headers {
  const named = new Headers();
  for (const [name, value] of Object.entries(headers)) {
    if (name.toLowerCase().startsWith("webhook-") && value !== undefined) {
      try {
        named.set(name, String(value));
      } catch {
        throw new InvalidWebhook("the headers of a webhook are missing or invalid");
      }
    }
  }
  return named;
}

async function hmacKey(secret: string): Promise<CryptoKey> {
  const bytes = fromBase64(secret.replace(/^whsec_/, ""));
  if (bytes === undefined) throw new TypeError("a webhook secret is whsec_ and base64");
  return crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
}

async function verified(key: CryptoKey, signature: string, signed: Uint8Array<ArrayBuffer>): Promise<boolean> {
  const bytes = fromBase64(signature);
  return bytes !== undefined && crypto.subtle.verify("HMAC", key, bytes, signed);
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    return undefined;
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
