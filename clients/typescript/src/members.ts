/** Members, invitations and keys of an account. */

import type { Credits, Time } from "./spending.ts";

/** A member of the account. `user` is the id that uses name in `member`. */
export interface Member {
  id: string;
  user: string;
  email: string;
  name: string;
  role: string;
  monthly_limit: Credits | null;
  created_at: Time;
}

export interface Invitation {
  id: string;
  email: string;
  role: string;
  monthly_limit: Credits | null;
  status: string;
  created_at: Time;
  expires_at: Time;
}

/** An API key of the account, without its secret. */
export interface Key {
  id: string;
  name: string;
  prefix: string;
  scopes: string[];
  member: string | null;
  daily_limit: Credits | null;
  monthly_limit: Credits | null;
  expires_at: Time | null;
  created_at: Time;
  last_used_at: Time | null;
  revoked_at: Time | null;
}

/** A new API key with its secret, which no other response has. */
export interface NewKey extends Key {
  secret: string;
}

/** A request for a team account. `account` is the team that was opened. */
export interface TeamRequest {
  id: string;
  kind: string;
  name: string;
  note: string;
  status: string;
  answer: string;
  account: string | null;
  created_at: Time;
  answered_at: Time | null;
}
