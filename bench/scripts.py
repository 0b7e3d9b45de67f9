"""What pgbench runs: the floor, and the ledger's moves."""

from bench.world import ACCOUNT, DETAIL, PROJECT

RANDOM = "\\set acc random(:lo, :hi)\n\\set amt random(1, 1000)\n"

# One statement, no check: wallet update, grant update, charge insert, entry insert.
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

USE = f"""row({ACCOUNT}, ledger_new_id(now()), gen_random_uuid()::text, sha256('body'), 0.001 * (:amt)::numeric, 'gpt-4o',
  array['gpt-4o', 'tag' || chr(58) || 'text'], '', {PROJECT}, null, null, 'c-81', null, null, null, {DETAIL})::ledger_use"""

CHARGE = f"{RANDOM}select * from ledger_charge({USE}, now());\n"

HOLD_CAPTURE = f"""{RANDOM}select hold_id as hold from ledger_hold({USE}, now() + interval '15 minutes', now()) \\gset
select * from ledger_capture({USE}, (:hold)::uuid, now());
"""

BATCH = f"""select count(*) from ledger_charge_many((select jsonb_agg(jsonb_build_object(
  'account_id', {ACCOUNT.replace("(:acc)", "n.acc")}, 'id', ledger_new_id(now()), 'key', gen_random_uuid(),
  'fingerprint', '\\x00', 'credits', n.amt, 'service', 'gpt-4o', 'covers', array['gpt-4o', 'tag' || chr(58) || 'text'], 'action', '',
  'project_id', {PROJECT.replace("(:acc)", "n.acc")}, 'conversation', 'c-81', 'detail', {DETAIL}))
  from (select (1 + random() * 999)::int as acc, ((1 + random() * 999)::int * 0.001)::numeric(20,6) as amt
        from generate_series(1, 1000)) n), now());
"""
