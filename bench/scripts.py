"""Scripts for pgbench: the floor, and the ledger's moves."""

import json
import random
import uuid

from bench.world import ACCOUNT, DETAIL, PROJECT

RANDOM = "\\set acc random(:lo, :hi)\n\\set amt random(1, 1000)\n"

# One statement without checks: wallet update, grant update, charge insert, entry insert.
FLOOR = f"""{RANDOM}with w as (update floor_wallet set balance = balance - 0.001 * (:amt)::numeric, seq = seq + 1
  where account_id = {ACCOUNT} returning account_id, balance, seq),
g as (update floor_grant set remaining = remaining - 0.001 * (:amt)::numeric where account_id = {ACCOUNT} returning id, remaining),
c as (insert into floor_charge(id, account_id, idempotency_key, fingerprint, credits, service, action, project_id,
    conversation, detail, drawn, created_at, uncollected, returned, balance_before, balance_after)
  select gen_random_uuid(), w.account_id, gen_random_uuid()::text, sha256('body'), 0.001 * (:amt)::numeric, 'gpt-4o', '',
    {PROJECT}, 'c-81', {DETAIL},
    jsonb_build_array(jsonb_build_object('grant', g.id, 'kind', 'daily', 'credits', '0.001')), now(), 0, 0,
    w.balance + 0.001 * (:amt)::numeric, w.balance from w, g returning id)
insert into floor_entry(id, account_id, seq, kind, grant_id, credits, debt, grant_after, balance_after, charge_id,
  reason, actor, created_at, hash)
select nextval('billing_entry_id_seq'), w.account_id, w.seq, 'charge', g.id, -0.001 * (:amt)::numeric, 0, g.remaining, w.balance,
  c.id, '', '', now(), '\\x{"00" * 32}'::bytea from w, g, c returning id;
"""

USE = f"""ledger_new_use(account_id => {ACCOUNT}, id => ledger_new_id(now()), key => gen_random_uuid()::text,
  fingerprint => sha256('body'), credits => 0.001 * (:amt)::numeric, service => 'gpt-4o',
  covers => array['gpt-4o', 'tag' || chr(58) || 'text'], action => '', project_id => {PROJECT}, conversation => 'c-81',
  detail => {DETAIL})"""

CHARGE = f"{RANDOM}select (ledger_charge({ACCOUNT}, {USE}, now())).status;\n"

HOLD_CAPTURE = f"""{RANDOM}select (ledger_hold({ACCOUNT}, {USE}, now() + interval '15 minutes', now())).hold_id as hold \\gset
select (ledger_capture(p_account => {ACCOUNT}, p_hold => (:hold)::uuid, p_id => ledger_new_id(now()),
  p_key => gen_random_uuid()::text, p_fingerprint => sha256('body'), p_credits => 0.001 * (:amt)::numeric,
  p_detail => {DETAIL}, p_now => now())).status;
"""


def batch(chance: random.Random, *, accounts: int, uses: int = 1000) -> str:
    """Return the argument of ledger_charge_many: uses of accounts drawn at random."""
    items = []
    for _ in range(uses):
        number = f"{chance.randint(1, accounts):012}"
        items.append(
            {
                "account_id": f"00000000-0000-7000-8000-{number}",
                "id": str(uuid.UUID(int=chance.getrandbits(128))),
                "key": str(uuid.UUID(int=chance.getrandbits(128))),
                "fingerprint": "\\x00",
                "credits": f"0.{chance.randint(1, 999):03}",
                "service": "gpt-4o",
                "covers": ["gpt-4o", "tag:text"],
                "action": "",
                "project_id": f"00000000-0000-7000-9000-{number}",
                "conversation": "c-81",
                "detail": json.loads(DETAIL.strip("'").removesuffix("'::jsonb")),
            }
        )
    return json.dumps(items)
