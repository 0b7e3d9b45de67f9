-- Credits in: a grant, given once for its key.

create or replace function ledger_grant(
  p_account uuid, p_id uuid, p_key text, p_fingerprint bytea, p_credits numeric, p_kind text, p_label text,
  p_priority int, p_expires timestamptz, p_services text[], p_purchase uuid, p_reason text, p_actor text,
  p_now timestamptz,
  out status text, out grant_id uuid, out balance_after numeric, out repaid numeric)
language plpgsql as $$
declare w billing_wallet; g billing_grant; debt_before numeric;
begin
  w := ledger_lock(p_account, p_now);
  repaid := 0;
  select * into g from billing_grant x where x.account_id = p_account and x.idempotency_key = p_key;
  if found then
    grant_id := g.id; balance_after := w.balance;
    status := case when g.fingerprint = p_fingerprint then 'replayed' else 'reused' end;
    return;
  end if;
  if p_expires <= p_now then
    status := 'expired'; balance_after := w.balance; return;
  end if;
  insert into billing_grant(id, account_id, kind, label, credits, remaining, held, priority, expires_at, services,
    open, idempotency_key, fingerprint, allowance, purchase_id, reason, actor, created_at)
  values (p_id, p_account, p_kind, p_label, p_credits, 0, 0,
    coalesce(p_priority, ledger_default_priority(p_kind)), p_expires, p_services,
    false, p_key, p_fingerprint, '', p_purchase, p_reason, p_actor, p_now);
  debt_before := w.debt;
  w := ledger_post(w, 'grant', p_id, p_credits, p_now, p_reason => p_reason, p_actor => p_actor);
  w := ledger_repay(w, p_id, p_credits, p_now);
  w.next_due_at := least(w.next_due_at, p_expires);
  w := ledger_save(w, p_now);
  status := 'granted'; grant_id := p_id; balance_after := w.balance; repaid := debt_before - w.debt;
end $$;
