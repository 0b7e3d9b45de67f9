"""The kinds of direct corruption that the audit must name: statements with all triggers disabled.

`{name}` in a statement is a value of the world in `test_corruptions.py`; `named` is what a finding must
contain.
"""

# ruff: noqa: E501 - a table of SQL

from typing import NamedTuple


class Corruption(NamedTuple):
    """One corruption: what it does, the statements, and what the finding names."""

    title: str
    statement: str
    named: str


def of_column(table: str, column: str, value: str, row: str, named: str) -> Corruption:
    """One column of one row gets another value."""
    statement = f"update billing_{table} set {column} = {value} where {row}"
    return Corruption(f"{table}.{column}", statement, named)


OF_GRANT, OF_CHARGE, OF_HOLD = "id = '{grant}'", "id = '{charge}'", "id = '{hold}'"
OF_ACCOUNT = "account_id = '{account}'"
ENTRY = "account_id = '{account}' and seq = 6"
NAMES_ENTRY = "(account {account}, number 6)"

COLUMNS = [
    *[of_column("entry", name, value, ENTRY, NAMES_ENTRY) for name, value in {
        "kind": "'adjust'", "grant_id": "'{other_grant}'", "credits": "credits - 1", "debt": "1", "grant_after": "grant_after + 1",
        "balance_after": "balance_after + 1", "charge_id": "gen_random_uuid()", "hold_id": "gen_random_uuid()", "reason": "'x'",
        "actor": "'x'", "created_at": "created_at + interval '1 s'", "digest": "sha256('x')", "hash": "sha256('x')",
    }.items()],
    *[of_column("grant", name, value, OF_GRANT, "grant {grant}") for name, value in {
        "kind": "'bonus'", "label": "'x'", "credits": "credits + 1", "remaining": "remaining + 1", "held": "held + 1",
        "spent": "spent - 1", "repaid": "repaid + 1", "balance_after": "balance_after + 1", "first_seq": "first_seq + 1",
        "last_seq": "last_seq + 1", "priority": "1", "expires_at": "now() + interval '9 years'", "services": "array['x']",
        "open": "false", "idempotency_key": "'x'", "fingerprint": "'x'", "allowance": "'x'", "purchase_id": "gen_random_uuid()",
        "reason": "'x'", "actor": "'x'", "created_at": "created_at + interval '1 s'",
    }.items()],
    *[of_column("charge", name, value, OF_CHARGE, "charge {charge}") for name, value in {
        "idempotency_key": "'x'", "fingerprint": "'x'", "credits": "credits + 1", "service": "'x'", "action": "'x'",
        "project_id": "gen_random_uuid()", "member_id": "gen_random_uuid()", "api_key_id": "gen_random_uuid()",
        "conversation": "'x'", "detail": "'{{\"x\": 1}}'", "drawn": "replace(drawn::text, '60.', '61.')::jsonb", "quota": "'x'",
        "quota_count": "9", "created_at": "created_at + interval '1 s'", "covered_by": "'own_key'", "uncollected": "1",
        "returned": "returned + 1", "hold_id": "gen_random_uuid()", "balance_before": "balance_before + 1",
        "balance_after": "balance_after + 1",
    }.items()],
    *[of_column("hold", name, value, OF_HOLD, "hold {hold}") for name, value in {
        "idempotency_key": "'x'", "fingerprint": "'x'", "credits": "credits + 1", "service": "'x'", "covers": "array['x']",
        "detail": "'{{\"x\": 1}}'", "drawn": "'[]'", "expires_at": "expires_at + interval '1 s'", "created_at": "now()",
        "status": "'released'", "closed_at": "closed_at + interval '1 s'", "charge_id": "gen_random_uuid()",
    }.items()],
    *[of_column("hold", name, value, "id = '{child}'", "hold {child}") for name, value in {
        "parent_id": "'{running}'", "depth": "1", "at_expiry": "'capture_estimate'", "credits": "credits + 1",
        "expires_at": "expires_at + interval '9 h'",
    }.items()],
    of_column("hold", "reserved", "replace(reserved::text, '6.', '7.')::jsonb", "id = '{root}'", "hold {root}"),
    of_column("hold", "reported", "jsonb_set(reported, '{{credits}}', '\"9\"')", "id = '{ended}'", "hold {ended}"),
    *[of_column("correction", name, value, "id = '{claw_back}'", "correction {claw_back}") for name, value in {
        "kind": "'adjust'", "idempotency_key": "'x'", "credits": "credits + 1", "debt": "debt + 1", "charge_id": "gen_random_uuid()",
        "purchase_id": "gen_random_uuid()", "detail": "'[]'", "balance_after": "0", "reason": "'x'", "actor": "'x'",
        "created_at": "now()", "undone_by_id": "gen_random_uuid()",
    }.items()],
    *[of_column("wallet", name, value, OF_ACCOUNT, "wallet of account {account}") for name, value in {
        "balance": "balance + 1", "held": "held + 1", "debt": "debt + 1", "seq": "seq + 1", "head": "sha256('x')",
        "warn_below": "1", "is_low": "not is_low", "limited": "not limited", "next_due_at": "null",
        "moved_at": "moved_at + interval '1 s'", "running_holds": "running_holds - 1",
    }.items()],
    *[of_column("limit", name, value, OF_ACCOUNT + " and kind = 'project'", "account {account}") for name, value in {
        "maximum": "maximum + 1", "used": "used - 1", "period": "'ever'", "subject": "gen_random_uuid()::text",
        "window_start": "window_start + interval '40 days'",
    }.items()],
    of_column("limit", "used", "0", "kind = 'quota'", "limit quota images (account {account})"),
    *[of_column("allowance", name, value, OF_ACCOUNT, "account {account}") for name, value in {
        "credits": "credits + 1", "kind": "'plan'", "label": "'x'", "lasts": "'forever'", "period": "'month'", "services": "array['x']",
        "priority": "1", "anchor_at": "anchor_at + interval '1 s'", "ends_at": "now()", "next_at": "next_at - interval '2 days'",
    }.items()],
]  # fmt: skip

ROWS = [
    Corruption("an entry is deleted", "delete from billing_entry where " + ENTRY, "an entry is missing"),
    Corruption(
        "the newest entry is deleted",
        "delete from billing_entry e using billing_wallet w where w.account_id = '{account}'"
        " and e.account_id = w.account_id and e.seq = w.seq",
        "wallet of account {account}",
    ),
    Corruption(
        "two entries change places",
        "update billing_entry set seq = -1 where account_id = '{account}' and seq = 6;"
        "update billing_entry set seq = 6 where account_id = '{account}' and seq = 7;"
        "update billing_entry set seq = 7 where account_id = '{account}' and seq = -1",
        "(account {account}, number 6)",
    ),
    Corruption("an entry moves to the end", "update billing_entry set seq = 99 where " + ENTRY, "number 99"),
    Corruption(
        "an entry is copied",
        "insert into billing_entry(account_id, seq, kind, grant_id, credits, debt, grant_after, balance_after, reason, actor,"
        " created_at, hash) select account_id, 999, kind, grant_id, credits, debt, grant_after, balance_after, '', '',"
        " created_at, hash from billing_entry where " + ENTRY,
        "number 999",
    ),
    Corruption(
        "text moves across the separator",
        "update billing_entry set reason = 'goodwill|staff', actor = '' where account_id = '{account}' and reason = 'goodwill'",
        "account {account}",
    ),
    Corruption("a charge is deleted", "delete from billing_charge where " + OF_CHARGE, "charge {charge}"),
    Corruption("a charge of 0 is deleted", "delete from billing_charge where id = '{free}'", "charge {free}"),
    Corruption(
        "a charge of 0 gets another detail",
        "update billing_charge set detail = '{{\"x\": 1}}' where id = '{free}'",
        "charge {free}",
    ),
    Corruption(
        "a charge of 0 is invented",
        "insert into billing_charge select (jsonb_populate_record(c, jsonb_build_object('id', gen_random_uuid(),"
        " 'idempotency_key', 'invented'))).* from billing_charge c where id = '{free}'",
        "charges of account {account}",
    ),
    Corruption("a hold is deleted", "delete from billing_hold where " + OF_HOLD, "hold {hold}"),
    Corruption(
        "a running hold is deleted", "delete from billing_hold where id = '{running}'", "hold {running}"
    ),
    Corruption(
        "a running hold is closed",
        "update billing_hold set status = 'released', closed_at = created_at where id = '{running}'",
        "holds of account {account}",
    ),
    Corruption(
        "a closed hold runs again",
        "update billing_hold set status = 'held', closed_at = null, charge_id = null where " + OF_HOLD,
        "hold {hold}",
    ),
    Corruption("a parent is deleted", "delete from billing_hold where id = '{root}'", "hold {root}"),
    Corruption(
        "a parent forgets its children",
        "update billing_hold set reserved = null where id = '{root}'",
        "hold {root}",
    ),
    Corruption(
        "credits move inside a tree",
        "update billing_hold set reserved = replace(reserved::text, '6.', '5.')::jsonb where id = '{root}';"
        "update billing_hold set reserved = replace(drawn::text, '4.', '5.')::jsonb where id = '{child}'",
        "hold {child}",
    ),
    Corruption(
        "a parent is closed before its child",
        "update billing_hold set status = 'released', closed_at = created_at where id = '{root}'",
        "hold {child}",
    ),
    Corruption(
        "the charge of a tree grows",
        "update billing_charge set credits = credits + 1 where hold_id = '{spent_child}'",
        "tree of hold {root}",
    ),
    Corruption(
        "a hold of 0 is invented",
        "insert into billing_hold select (jsonb_populate_record(h, jsonb_build_object('id', gen_random_uuid(), 'credits', 0,"
        " 'drawn', '[]'::jsonb, 'idempotency_key', 'invented'))).* from billing_hold h where id = '{running}'",
        "holds of account {account}",
    ),
    Corruption(
        "a grant is deleted", "delete from billing_grant where id = '{other_grant}'", "grant {other_grant}"
    ),
    Corruption(
        "a grant is invented",
        "insert into billing_grant select (jsonb_populate_record(g, jsonb_build_object('id', gen_random_uuid(),"
        " 'idempotency_key', 'invented'))).* from billing_grant g where " + OF_GRANT,
        "has no entries",
    ),
    Corruption(
        "a correction is deleted",
        "delete from billing_correction where id = '{claw_back}'",
        "corrections of account {account}",
    ),
    Corruption(
        "a correction is invented",
        "insert into billing_correction select (jsonb_populate_record(c, jsonb_build_object('id', gen_random_uuid(),"
        " 'idempotency_key', 'invented'))).* from billing_correction c where id = '{adjustment}'",
        "no entry has the digest",
    ),
    Corruption(
        "a restoration is undone",
        "update billing_correction set undone_by_id = null where id = '{claw_back}'",
        "it restores no claw-back",
    ),
    Corruption(
        "a limit is deleted",
        "delete from billing_limit where kind = 'project'",
        "wallet of account {account}",
    ),
    Corruption("all limits are deleted", "delete from billing_limit", "wallet of account {account}"),
    Corruption(
        "a limit is invented",
        "insert into billing_limit(account_id, kind, subject, period, maximum, used, window_start, window_end)"
        " select account_id, 'member', gen_random_uuid()::text, period, 1, 0, window_start, window_end from billing_limit limit 1",
        "wallet of account {account}",
    ),
    Corruption(
        "an allowance is deleted",
        "delete from billing_allowance where account_id = '{account}'",
        "wallet of account {account}",
    ),
    Corruption(
        "the warning threshold is removed",
        "update billing_wallet set warn_below = null where account_id = '{account}'",
        "wallet of account {account}",
    ),
    Corruption(
        "a wallet is deleted", "delete from billing_wallet where " + OF_ACCOUNT, "has entries but no row"
    ),
    Corruption(
        "a wallet of no account",
        "delete from accounts_account where id = '{other}'",
        "wallet of account {other}",
    ),
    Corruption(
        "a grant's balance is removed",
        "update billing_grant set balance_after = null where " + OF_GRANT,
        "grant {grant}",
    ),
    Corruption(
        "a grant's repayment is hidden",
        "update billing_grant set balance_after = null, repaid = 9 where allowance <> '' and " + OF_ACCOUNT,
        "it has no balance after it",
    ),
    Corruption(
        "a running hold is marked as closed",
        "update billing_hold set closed_at = created_at where id = '{running}'",
        "hold {running}",
    ),
    Corruption(
        "a running hold is marked as captured",
        "update billing_hold set charge_id = '{charge}' where id = '{running}'",
        "hold {running}",
    ),
    Corruption(
        "an allowance is put off for years",
        "update billing_allowance set next_at = now() + interval '5 years' where " + OF_ACCOUNT,
        "allowance daily (account {account})",
    ),
    Corruption(
        "a limit's window never ends",
        "update billing_limit set window_end = null where kind = 'project'",
        "(account {account}): its window",
    ),
    Corruption(
        "a limit's window ends years later",
        "update billing_limit set window_end = window_end + interval '5 years' where kind = 'project'",
        "(account {account}): its window",
    ),
    Corruption(
        "a limit's window and count begin anew",
        "update billing_limit set used = 0, window_start = window_start + interval '15 days' where kind = 'project'",
        "(account {account}): its window",
    ),
    Corruption(
        "a limit's window is in the future",
        "update billing_limit set used = 0, window_start = '2090-01-01', window_end = '2090-02-01' where kind = 'quota'",
        "limit quota images (account {account}): its window",
    ),
    Corruption(
        "the time of stored sums moves",
        "update billing_wallet set summed_at = moved_at + interval '1 day' where " + OF_ACCOUNT,
        "sums of account {account}",
    ),
    Corruption(
        "a stored sum is invented",
        "insert into billing_usesum(account_id, subject, since, until, credits)"
        " select account_id, subject::uuid, window_start, window_end, 500 from billing_limit where kind = 'project'",
        "sums of account {account}",
    ),
    Corruption(
        "charges are in no stored sum",
        "update billing_wallet set summed_at = moved_at + interval '1 us' where " + OF_ACCOUNT,
        "none until",
    ),
    Corruption("an audit is deleted", "delete from billing_audit", "audits are missing"),
    *[
        Corruption(
            f"audit.{column}",
            f"update billing_audit set {column} = {value}",
            "the hash of the audits differs",
        )
        for column, value in (
            ("is_full", "not is_full"),
            ("newest_entry", "9000000000"),
            ("started_at", "'2090-01-01'"),
        )
    ],
    Corruption(
        "an audit is invented",
        "insert into billing_audit select (jsonb_populate_record(a, jsonb_build_object('id', a.id + 1,"
        " 'newest_entry', 9000000000))).* from billing_audit a limit 1",
        "audits: audit",
    ),
    Corruption(
        "the progress of an audit is invented",
        "insert into billing_auditprogress(started_at, saved_at, is_full, after, since_entry, newest_entry, findings, totals,"
        " signature) select started_at + interval '1 s', started_at, true, 'ffffffff-ffff-ffff-ffff-fffffffffffe', 0, 0, '[]',"
        " totals, '' from billing_audit; update billing_grant set remaining = remaining + 1 where id = '{grant}'",
        "grant {grant}",
    ),
    Corruption(
        "an audit runs for ever",
        "insert into billing_auditprogress(started_at, saved_at, is_full, since_entry, newest_entry, findings, totals, signature)"
        " select started_at, '2090-01-01', true, 0, 0, '[]', '{{}}', '' from billing_audit;"
        "update billing_grant set remaining = remaining + 1 where id = '{grant}'",
        "grant {grant}",
    ),
    Corruption(
        "an audit is changed", "update billing_audit set entries = 1", "the hash of the audits differs"
    ),
    Corruption("a checkpoint is deleted", "delete from billing_checkpoint", "checkpoint"),
    Corruption(
        "the head of a checkpoint is changed",
        "update billing_head set balance = 1",
        "its root does not follow",
    ),
]

CONSISTENT = [
    Corruption(
        "the tail is cut, the wallet follows",
        "delete from billing_entry where account_id = '{account}' and seq > 4;"
        "update billing_wallet w set seq = 4, head = e.hash, balance = e.balance_after from billing_entry e"
        " where e.account_id = w.account_id and e.seq = 4 and w.account_id = '{account}'",
        "the wallet ends at entry 4",
    ),
    Corruption(
        "the whole chain is written again",
        "update billing_entry set reason = 'x' where account_id = '{account}' and reason = 'goodwill';"
        "update billing_entry e set hash = c.hash from (select id, ledger_chain(sha256(uuid_send(account_id)),"
        " ledger_payload(account_id, seq, kind, grant_id, credits, debt, grant_after, balance_after, charge_id, hold_id, reason,"
        " actor, created_at, digest)) over (partition by account_id order by seq) as hash from billing_entry) c"
        " where c.id = e.id;"
        "update billing_wallet w set head = e.hash from billing_entry e"
        " where e.account_id = w.account_id and e.seq = w.seq",
        "account {account}",
    ),
    Corruption(
        "an account is wiped",
        "delete from billing_entry where account_id = '{account}'; delete from billing_wallet where account_id = '{account}';"
        "delete from billing_grant where account_id = '{account}'; delete from billing_charge where account_id = '{account}';"
        "delete from billing_hold where account_id = '{account}'; delete from billing_correction where account_id = '{account}';"
        "delete from billing_limit where account_id = '{account}'; delete from billing_allowance where account_id = '{account}'",
        "the wallet is missing",
    ),
]
