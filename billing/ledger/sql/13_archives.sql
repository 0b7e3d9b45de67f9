-- Archives: entries of closed periods are removed after their sums and their last position have been stored and signed.
-- An entry can be deleted only below its wallet's archived position (ledger_refuse_entry_change), by a role that may
-- delete: the runtime role may not (manage.py database_roles).

select ledger_ensure_trigger('billing_archive', 'create trigger archive_append_only before delete or update on billing_archive'
  ' for each row execute function ledger_refuse_change()');
select ledger_ensure_trigger('billing_archive', 'create trigger archive_no_truncate before truncate on billing_archive'
  ' for each statement execute function ledger_refuse_change()');
select ledger_ensure_trigger('billing_archivedwallet', 'create trigger archivedwallet_append_only before delete or update on billing_archivedwallet'
  ' for each row execute function ledger_refuse_change()');
select ledger_ensure_trigger('billing_archivedwallet', 'create trigger archivedwallet_no_truncate before truncate on billing_archivedwallet'
  ' for each statement execute function ledger_refuse_change()');

-- The number of the account's last archived entry; 0 when none is archived.
create or replace function ledger_archived_seq(p_account uuid) returns bigint
language sql stable as $$
  select coalesce((select a.seq from billing_archivedwallet a where a.account_id = p_account
                   order by a.archive_id desc limit 1), 0)
$$;

-- What the account's entries from p_after (excluded) to p_until (included) moved of each purchase in each month, by kind.
create or replace function ledger_purchase_sums(p_account uuid, p_after bigint, p_until bigint) returns jsonb
language sql stable as $$
  select coalesce(jsonb_agg(jsonb_build_object('purchase', purchase_id, 'month', month, 'kind', kind, 'credits', credits::text)
                            order by purchase_id, month, kind), '[]')
  from (select g.purchase_id, date_trunc('month', e.created_at at time zone 'UTC')::date as month, e.kind,
               sum(e.credits) as credits
        from billing_entry e join billing_grant g on g.account_id = e.account_id and g.id = e.grant_id
        where e.account_id = p_account and e.seq > p_after and e.seq <= p_until and g.purchase_id is not null
        group by 1, 2, 3) s
$$;

-- The hash of the digests of the account's records that no entry after p_seq introduces.
create or replace function ledger_records_hash(p_account uuid, p_seq bigint) returns bytea
language sql stable as $$
  select sha256(coalesce(string_agg(r.digest, ''::bytea order by r.digest), ''::bytea)) from (
    select ledger_grant_digest(g) as digest from billing_grant g where g.account_id = p_account
    union all select ledger_charge_digest(c) from billing_charge c where c.account_id = p_account
    union all select ledger_hold_digest(h) from billing_hold h where h.account_id = p_account
    union all select ledger_correction_digest(c) from billing_correction c where c.account_id = p_account) r
  where not exists (select from billing_entry e where e.account_id = p_account and e.seq > p_seq and e.digest = r.digest)
$$;

-- A leaf of an archive's Merkle tree.
create or replace function ledger_archived_leaf(a billing_archivedwallet) returns bytea
language sql stable as $$
  select sha256('\x00'::bytea || convert_to(concat_ws('|', 'refill-ledger-archived/1', a.account_id, a.checkpoint_id, a.seq,
    encode(a.head, 'hex'), a.balance, a.held, a.debt, encode(a.records_hash, 'hex'),
    encode(sha256(convert_to(jsonb_build_array(a.state, a.totals, a.sums, a.last)::text, 'UTF8')), 'hex')), 'UTF8'))
$$;
