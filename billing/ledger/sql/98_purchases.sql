-- When the status or the refunds of a purchase last changed, by the database's clock: the events of an account are read
-- by it (usage/api/events.py). A trigger writes it, because many statements change purchases.

create or replace function ledger_purchase_changed() returns trigger
language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    new.changed_at := clock_timestamp();
  elsif (new.status, new.refunded) is distinct from (old.status, old.refunded) then
    new.changed_at := clock_timestamp();
  else
    new.changed_at := old.changed_at;
  end if;
  return new;
end $$;

do $$
begin
  -- earlier migrations install the ledger before the column exists
  if exists (select from information_schema.columns where table_schema = current_schema()
             and table_name = 'billing_purchase' and column_name = 'changed_at') then
    perform ledger_ensure_trigger('billing_purchase', 'create trigger purchase_changed before insert or update'
      ' on billing_purchase for each row execute function ledger_purchase_changed()');
  end if;
end $$;
