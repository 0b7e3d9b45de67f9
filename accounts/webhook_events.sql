-- The outbox of outgoing webhooks: an event is written in the transaction of its fact, by Python
-- (accounts.webhook_endpoints.events) and by the ledger's SQL.
-- Invariants: a fact has one event, however often it is recorded; nothing is written for an account whose events no
-- endpoint has chosen.

-- Whether an enabled endpoint of the account or of the platform has chosen the type.
create or replace function webhook_wanted(p_account uuid, p_type text) returns boolean
language plpgsql stable as $$
begin
  return exists (select from accounts_webhookendpoint e
                 where e.disabled_at is null and (e.account_id is null or e.account_id = p_account)
                   and p_type = any(e.events));
end $$;

-- A public id (core.ids); null for null.
create or replace function webhook_id(p_prefix text, p_id uuid) returns text
language sql immutable as $$ select p_prefix || '_' || replace(p_id::text, '-', '') $$;

-- A time as the API writes it.
create or replace function webhook_time(p_at timestamptz) returns text
language sql stable as $$ select to_char(p_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') $$;

-- p_fact identifies the fact among those of the account; p_data is the event's data without the account.
create or replace function webhook_record(p_account uuid, p_type text, p_fact text, p_data jsonb, p_at timestamptz)
returns void
language plpgsql as $$
begin
  if webhook_wanted(p_account, p_type) then
    insert into accounts_webhookevent(uuid, account_id, type, fact, data, created_at, fanned_out)
    select gen_random_uuid(), a.id, p_type, p_fact, p_data || jsonb_build_object('account',
             jsonb_build_object('id', webhook_id('acct', a.id), 'external_id', a.external_id)), p_at, false
    from accounts_account a where a.id = p_account
    on conflict (account_id, fact) do nothing;
  end if;
end $$;
