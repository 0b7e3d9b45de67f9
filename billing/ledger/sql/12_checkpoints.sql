-- Checkpoints and their heads are append-only, as entries are.

select ledger_ensure_trigger('billing_checkpoint', 'create trigger checkpoint_append_only before delete or update on billing_checkpoint'
  ' for each row execute function ledger_refuse_change()');
select ledger_ensure_trigger('billing_checkpoint', 'create trigger checkpoint_no_truncate before truncate on billing_checkpoint'
  ' for each statement execute function ledger_refuse_change()');
select ledger_ensure_trigger('billing_head', 'create trigger head_append_only before delete or update on billing_head'
  ' for each row execute function ledger_refuse_change()');
select ledger_ensure_trigger('billing_head', 'create trigger head_no_truncate before truncate on billing_head'
  ' for each statement execute function ledger_refuse_change()');
