-- Events of the ledger for outgoing webhooks (accounts/webhook_events.sql): new grants, notices of low balances,
-- balances that fell to zero, limits that refused a use.
-- Invariant: without an endpoint that has chosen such events, a grant, a notice or a fall to zero costs one look-up.

create or replace function ledger_grant_events() returns trigger
language plpgsql as $$
begin
  if exists (select from accounts_webhookendpoint e where e.disabled_at is null and 'credits.granted' = any(e.events)) then
    perform webhook_record(g.account_id, 'credits.granted', 'grant:' || g.id, jsonb_build_object('grant',
      jsonb_build_object('id', webhook_id('grant', g.id), 'kind', g.kind, 'label', g.label,
        'granted', trim_scale(g.credits)::text, 'expires_at', webhook_time(g.expires_at), 'services', g.services,
        'purchase', webhook_id('pur', g.purchase_id))), g.created_at)
    from added g;
  end if;
  return null;
end $$;
select ledger_ensure_trigger('billing_grant', 'create trigger grant_events after insert on billing_grant'
  ' referencing new table as added for each statement execute function ledger_grant_events()');

create or replace function ledger_notice_events() returns trigger
language plpgsql as $$
begin
  perform webhook_record(n.account_id, 'balance.low', 'notice:' || n.id, jsonb_build_object(
    'balance', trim_scale((n.detail->>'balance')::numeric)::text,
    'threshold', trim_scale((n.detail->>'warn_below')::numeric)::text), n.created_at)
  from added n where n.kind in ('low', 'depleted');
  return null;
end $$;
select ledger_ensure_trigger('billing_notice', 'create trigger notice_events after insert on billing_notice'
  ' referencing new table as added for each statement execute function ledger_notice_events()');

-- The balance fell to zero, whether or not the account has a threshold. The trigger is deferred because settling may leave
-- nothing between an expiry and a renewal: what counts is the balance that the transaction leaves.
create or replace function ledger_depleted_event() returns trigger
language plpgsql as $$
begin
  perform webhook_record(w.account_id, 'balance.depleted', 'depleted:' || w.seq, jsonb_build_object(
    'balance', '0', 'threshold', trim_scale(w.warn_below)::text), w.moved_at)
  from billing_wallet w where w.account_id = new.account_id and w.balance = 0;
  return null;
end $$;
select ledger_ensure_trigger('billing_wallet', 'create constraint trigger depleted_event after update on billing_wallet'
  ' deferrable initially deferred for each row when (old.balance > 0::numeric and new.balance = 0::numeric)'
  ' execute function ledger_depleted_event()');

-- A limit refused a use: one event for each window of the limit, with the id of its project, member or key. Counted quotas
-- of plans are not limits of a user.
create or replace function ledger_limit_event(l billing_limit, p_now timestamptz) returns void
language plpgsql as $$
begin
  if l.kind <> 'quota' then
    perform webhook_record(l.account_id, 'limit.reached',
      concat_ws(':', 'limit', l.kind, l.subject, l.period, extract(epoch from l.window_end)), 
      case when l.kind = 'account' then '{}' else jsonb_build_object(
        l.kind, webhook_id(case l.kind when 'project' then 'proj' when 'member' then 'user' else 'key' end, l.subject::uuid)) end
      || jsonb_build_object('limit', l.kind, 'period', l.period, 'maximum', trim_scale(l.maximum)::text, 'resets_at', webhook_time(l.window_end)), p_now);
  end if;
end $$;
