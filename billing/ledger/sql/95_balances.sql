-- Balances: what an account has, and which entries belong to a period.
-- Invariant: a balance is read from one snapshot (a stable function sees that of the calling statement) and takes no
-- lock, so that the total is the sum of its grants at every read, whatever other transactions do.

-- A wallet that is due has `due` set and no grants and allowances: the caller settles it and reads again. Amounts in
-- json are text, because a json number would become a float.
create or replace function ledger_balance(
  p_account uuid, p_now timestamptz,
  out due boolean, out balance numeric, out held numeric, out debt numeric, out is_low boolean, out warn_below numeric,
  out seq bigint, out grants json, out allowances json)
language plpgsql stable as $$
declare whole uuid[];
begin
  select coalesce(w.next_due_at <= p_now, false), w.balance, w.held, w.debt, w.is_low, w.warn_below, w.seq
    into due, balance, held, debt, is_low, warn_below, seq
    from billing_wallet w where w.account_id = p_account;
  if not found then
    raise exception 'no wallet for account %', p_account using errcode = 'RF404';
  end if;
  if due then return; end if;
  if held > 0 then  -- a grant that is held whole is not open: the running holds name it
    select array_agg(distinct x.id) into whole
      from billing_hold h, jsonb_array_elements(h.drawn) d(part), billing_grant x
     where h.account_id = p_account and h.status = 'held' and x.account_id = p_account
       and x.id = (d.part->>'grant')::uuid and x.held > 0 and not x.open;
  end if;
  select json_agg(json_build_object('id', g.id, 'kind', g.kind, 'label', g.label, 'credits', g.credits::text,
           'remaining', g.remaining::text, 'held', g.held::text, 'expires_at', g.expires_at, 'services', g.services,
           'allowance', g.allowance, 'purchase_id', g.purchase_id) order by g.priority, g.expires_at, g.created_at, g.id)
    into grants
    -- an array and offset 0 keep this a look-up for each grant, planned once: as a join it was planned as a scan of all
    -- grants, spent ones too, and a union was planned again at each call
    from unnest(array(select s.id from ledger_spendable(p_account, null, p_now) s) || whole) i(id),
         lateral (select * from billing_grant x where x.account_id = p_account and x.id = i.id offset 0) g
   where g.expires_at is null or g.expires_at > p_now;
  select json_agg(json_build_object('key', a.key, 'label', a.label, 'credits', a.credits::text, 'period', a.period,
           'next_at', least(a.next_at, a.ends_at), 'is_last', a.ends_at <= a.next_at) order by a.next_at, a.id)
    into allowances
    from billing_allowance a
   where a.account_id = p_account and a.next_at is not null
     and (a.ends_at is null or a.next_at < a.ends_at or a.period = 'day' and a.ends_at > p_now);
end $$;

-- Settles a due wallet for a read. It locks as a move does (advisory lock, then row), so that a transaction can read and
-- then move, and it waits a quarter of a second at most: a read that cannot be exact fails soon (lock_not_available).
create or replace function ledger_settle_for_read(p_account uuid, p_now timestamptz) returns void
language plpgsql set lock_timeout = '250ms' as $$
begin
  perform ledger_lock(p_account, p_now);
end $$;

-- The number of the account's newest entry before an instant; 0 without one. Along a chain time never goes backwards, so
-- that halving finds it with one look-up for each bit of the number. In a chain of an earlier release, where clocks may
-- have been apart, the answer is still the same at every call and never smaller for a later instant: the steps depend on
-- the number alone. An entry that is archived is before every instant that can be asked for.
create or replace function ledger_seq_before(p_account uuid, p_at timestamptz) returns bigint
language plpgsql stable as $$
declare last bigint; found_ bigint := 0; step bigint := 1; at_ timestamptz;
begin
  select w.seq into last from billing_wallet w where w.account_id = p_account;
  while step * 2 <= last loop step := step * 2; end loop;
  while step > 0 and last > 0 loop
    if found_ + step <= last then
      select e.created_at into at_ from billing_entry e where e.account_id = p_account and e.seq = found_ + step;
      if not found or at_ < p_at then found_ := found_ + step; end if;
    end if;
    step := step / 2;
  end loop;
  return found_;
end $$;
