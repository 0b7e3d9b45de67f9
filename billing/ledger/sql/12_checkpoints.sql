-- Checkpoints and their heads are append-only, as entries are.

select ledger_ensure_trigger('billing_checkpoint', 'create trigger checkpoint_append_only before delete or update on billing_checkpoint'
  ' for each row execute function ledger_refuse_change()');
select ledger_ensure_trigger('billing_checkpoint', 'create trigger checkpoint_no_truncate before truncate on billing_checkpoint'
  ' for each statement execute function ledger_refuse_change()');
select ledger_ensure_trigger('billing_head', 'create trigger head_append_only before delete or update on billing_head'
  ' for each row execute function ledger_refuse_change()');
select ledger_ensure_trigger('billing_head', 'create trigger head_no_truncate before truncate on billing_head'
  ' for each statement execute function ledger_refuse_change()');

-- The hash of an audit's record, which the checkpoint after it covers.
create or replace function ledger_audit_hash(a billing_audit) returns bytea
language sql stable as $$
  select sha256(convert_to(jsonb_build_array(a.id, ledger_micros(a.started_at), ledger_micros(a.finished_at), a.wallets,
    a.entries, a.totals, a.findings, a.is_full, a.newest_entry)::text, 'UTF8'))
$$;
