-- Digests: the hash of the columns of a record that do not change. The entry that introduces the record carries it, and
-- the entry's hash covers the digest, so the chain covers the record.
-- Invariant: a column that a statement or a decision relies on is in a digest, or the audit compares it with the
-- entries: amounts of grants and wallets, charge.returned, a hold's status and what it reserves, correction.undone_by_id, limit.used.
-- (record_send is the binary form of a row: each value stands behind its type and length, so no two rows have the same
-- form. It sends text in the encoding of the client, which is UTF-8 in every process of ours.)

create or replace function ledger_grant_digest(g billing_grant) returns bytea
language sql stable as $$
  select sha256(record_send(row(g.id, g.account_id, g.kind, g.label, g.credits, g.priority, g.expires_at, g.services,
    g.idempotency_key, g.fingerprint, g.allowance, g.purchase_id, g.reason, g.actor, g.created_at)))
$$;

create or replace function ledger_charge_digest(c billing_charge) returns bytea
language sql stable as $$
  select sha256(record_send(row(c.id, c.account_id, c.idempotency_key, c.fingerprint, c.credits, c.service, c.action,
    c.project_id, c.member_id, c.api_key_id, c.conversation, c.detail, c.drawn, c.quota, c.quota_count, c.created_at,
    c.covered_by, c.uncollected, c.hold_id, c.balance_before, c.balance_after)))
$$;

-- (A hold without a parent that is released at its end has the digest that every hold had before there were others.)
create or replace function ledger_hold_digest(h billing_hold) returns bytea
language sql stable as $$
  select case when h.depth = 1 and h.at_expiry = 'release' then
    sha256(record_send(row(h.id, h.account_id, h.idempotency_key, h.fingerprint, h.credits, h.service, h.covers,
      h.action, h.project_id, h.member_id, h.api_key_id, h.conversation, h.detail, h.drawn, h.quota, h.quota_count,
      h.created_at, h.expires_at)))
  else
    sha256(record_send(row(h.id, h.account_id, h.idempotency_key, h.fingerprint, h.credits, h.service, h.covers,
      h.action, h.project_id, h.member_id, h.api_key_id, h.conversation, h.detail, h.drawn, h.quota, h.quota_count,
      h.created_at, h.expires_at, h.parent_id, h.depth, h.at_expiry)))
  end
$$;

create or replace function ledger_correction_digest(c billing_correction) returns bytea
language sql stable as $$
  select sha256(record_send(row(c.id, c.account_id, c.kind, c.idempotency_key, c.fingerprint, c.credits, c.debt,
    c.charge_id, c.purchase_id, c.detail, c.balance_after, c.reason, c.actor, c.created_at)))
$$;

-- The terms of an account: the warning threshold, limits without what is used of them, and allowances without when they
-- are due next. Null when there are none.
create or replace function ledger_terms_digest(p_account uuid, p_warn_below numeric) returns bytea
language sql stable as $$
  select sha256(record_send(row(p_warn_below::numeric(20,6), t.limits, t.allowances)))
  from (select
    (select string_agg(record_send(row(l.kind, l.subject, l.period, l.maximum)), ''::bytea
                       order by l.kind collate "C", l.subject collate "C", l.period collate "C")
     from billing_limit l where l.account_id = p_account) as limits,
    (select string_agg(record_send(row(a.key, a.kind, a.label, a.credits, a.period, a.lasts, a.services, a.priority,
                                       a.anchor_at, a.ends_at)), ''::bytea order by a.key collate "C")
     from billing_allowance a where a.account_id = p_account) as allowances) t
  where p_warn_below is not null or t.limits is not null or t.allowances is not null
$$;
