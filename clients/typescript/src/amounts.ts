/** Exact sums of credits: millionths as bigint. */

import type { Credits } from "./spending.ts";

/** An amount as an argument: a string such as "5.5", or a whole number. */
export type Amount = Credits | number | bigint;

/** The credits as millionths. Throws TypeError for a number with a fraction and for other text. */
export function micro(amount: Amount): bigint {
  if (typeof amount === "number" && !Number.isSafeInteger(amount)) {
    throw new TypeError(`write ${amount} credits as a string: a number is not exact`);
  }
  const parts = /^(-?)(\d+)(?:\.(\d{1,6}))?$/.exec(String(amount));
  if (parts === null) throw new TypeError(`not an amount of credits: ${amount}`);
  const size = BigInt(parts[2]! + (parts[3] ?? "").padEnd(6, "0"));
  return parts[1] ? -size : size;
}

/** Millionths as credits in plain decimal notation. */
export function credits(millionths: bigint): Credits {
  const text = String(millionths < 0n ? -millionths : millionths).padStart(7, "0");
  const fraction = text.slice(-6).replace(/0+$/, "");
  return `${millionths < 0n ? "-" : ""}${text.slice(0, -6)}${fraction && `.${fraction}`}`;
}
