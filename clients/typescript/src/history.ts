/** Exports of the history, statements, and the memorial wall. */

import type { Credits, Time } from "./spending.ts";

/** A file of the history. */
export interface Export {
  id: string;
  account: string;
  /** `waiting`, `ready` or `failed`. */
  state: string;
  percent: number;
  rows: number;
  kind: string | null;
  grant: string | null;
  search: string | null;
  created_at: Time;
  expires_at: Time | null;
}

export interface StatementLine {
  id: string;
  kind: string;
  title: string;
  credits: Credits;
  balance_after: Credits;
  grant: string | null;
  grant_kind: string | null;
  charge: string | null;
  covered_by: string | null;
  service: string | null;
  action: string | null;
  conversation: string | null;
  actor: string;
  created_at: Time;
}

/** A page of a statement, newest entries first. Opening balance + movements = closing balance. */
export interface Statement {
  account: string;
  zone: string;
  from: Time;
  to: Time;
  opening_balance: Credits;
  closing_balance: Credits;
  /** The sum of the entries of each kind in the whole period. */
  movements: { kind: string; credits: Credits }[];
  /** Whether a signed checkpoint covers the closing balance. */
  signed: boolean;
  /** Where entries are that are not in the database any more: those before `before`. */
  archived: { archive: number; file: string; before: Time; sha256: string } | null;
  /** The page adds up: its opening balance and the credits of `data` are its closing balance. */
  page: { opening_balance: Credits; closing_balance: Credits };
  data: StatementLine[];
  has_more: boolean;
  /** The `cursor` of the next page, with older entries. */
  next_cursor: string | null;
}

/** A member on the memorial wall. */
export interface ListedMember {
  name: string;
  badge: string;
  since: Time;
}
