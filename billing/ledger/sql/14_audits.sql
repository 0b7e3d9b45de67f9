-- The hash of an audit's record, which the checkpoint after it covers.
create or replace function ledger_audit_hash(a billing_audit) returns bytea
language sql stable as $$
  select sha256(convert_to(jsonb_build_array(a.id, ledger_micros(a.started_at), ledger_micros(a.finished_at), a.wallets,
    a.entries, a.totals, a.findings, a.is_full, a.newest_entry)::text, 'UTF8'))
$$;
