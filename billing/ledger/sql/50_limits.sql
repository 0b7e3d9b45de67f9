-- Limits and quotas, counted in the same transaction and under the same lock as the charge.
-- Invariant: what is used in the present window never passes the maximum through a charge or a hold. A limit's row
-- is its current window; changing the maximum leaves what was counted as it is.

-- What a hold reserves itself, without its children; of a closed one, what it had when it was closed.
create or replace function ledger_hold_amount(h billing_hold) returns numeric
language sql stable as $$
  select case when h.reserved is null then h.credits
         else (select coalesce(sum((d->>'credits')::numeric(20,6)), 0) from jsonb_array_elements(h.reserved) d) end
$$;

-- What a use adds to a limit: its count for a quota, its credits for every other kind.
create or replace function ledger_limit_amount(p_kind text, p_credits numeric, p_count numeric) returns numeric
language sql immutable as $$ select case when p_kind = 'quota' then coalesce(p_count, 0) else p_credits end $$;

-- Which of a use's attributes a limit of this kind compares with its subject. That of the account has the subject 'account'.
create or replace function ledger_limit_subject(p_kind text, p_project uuid, p_member uuid, p_key uuid, p_quota text)
returns text
language sql immutable as $$
  select case p_kind when 'project' then p_project::text when 'member' then p_member::text when 'key' then p_key::text
         when 'account' then 'account' else p_quota end
$$;

-- The subjects that limits of a use can have. A condition on them finds the use's limits by the unique index
-- (account, subject, kind), however many limits the account has.
create or replace function ledger_limit_subjects(p_project uuid, p_member uuid, p_key uuid, p_quota text) returns text[]
language sql immutable as $$ select array[p_project::text, p_member::text, p_key::text, p_quota, 'account'] $$;

create or replace function ledger_limit_matches(l billing_limit, u ledger_use) returns boolean
language sql immutable as $$
  select l.subject = any(ledger_limit_subjects(u.project_id, u.member_id, u.api_key_id, u.quota))
     and l.subject = ledger_limit_subject(l.kind, u.project_id, u.member_id, u.api_key_id, u.quota)
$$;

-- Whether the window since p_since of a limit counts a hold: it, or a hold above it, was made in the window for this subject.
-- So a limit counts what a hold for its subject reserves with all that is below it: what comes back can be spent there.
create or replace function ledger_hold_counts(h billing_hold, p_kind text, p_subject text, p_since timestamptz) returns boolean
language plpgsql stable as $$
begin
  while h.created_at >= p_since loop  -- a hold above is older
    if p_subject = ledger_limit_subject(p_kind, h.project_id, h.member_id, h.api_key_id, h.quota) then return true; end if;
    exit when h.parent_id is null;
    select * into h from billing_hold x where x.account_id = h.account_id and x.id = h.parent_id;
    exit when not found;  -- the audit names a parent that is missing
  end loop;
  return false;
end $$;

-- Whether a limit stops a use, or may: its window has ended and has to be rolled first.
create or replace function ledger_limit_stops(l billing_limit, u ledger_use, p_now timestamptz) returns boolean
language sql immutable as $$
  select ledger_limit_matches(l, u) and (l.window_end <= p_now
         or l.used + ledger_limit_amount(l.kind, u.credits, u.quota_count) > l.maximum)
$$;

-- The window that follows one which ended at p_end. After a change of zone it begins there, so that windows never overlap,
-- and a day then ends at the first midnight of the new zone at least 24 hours later: a change of zone gives no second day.
create or replace function ledger_following_window(p_period text, p_zone text, p_end timestamptz, p_now timestamptz,
  out starts_at timestamptz, out ends_at timestamptz)
language plpgsql stable as $$
begin
  select w.starts_at, w.ends_at into starts_at, ends_at from ledger_window(p_period, p_zone, p_now) w;
  if p_end > starts_at then
    starts_at := p_end;
    if p_period = 'day' and ends_at - p_end < interval '24 hours' then
      ends_at := (ledger_window(p_period, p_zone, ends_at)).ends_at;
    end if;
  end if;
end $$;

-- Moves limits whose window has ended into the window that contains p_now: those of the subjects, which are the few of
-- one use (after midnight the windows of all of an account's projects have ended), or all where p_subjects is null.
create or replace function ledger_roll_limits(p_account uuid, p_now timestamptz, p_subjects text[] default null) returns void
language plpgsql as $$
declare zone_ text; subjects text[] := p_subjects;
begin
  if subjects is null then
    subjects := array(select subject from billing_limit where account_id = p_account and window_end <= p_now);
  end if;
  if exists (select from billing_limit where account_id = p_account and subject = any(subjects) and window_end <= p_now) then
    select a.zone into zone_ from accounts_account a where a.id = p_account;
    update billing_limit l set used = 0, window_start = n.starts_at, window_end = n.ends_at
      from billing_limit x, lateral ledger_following_window(x.period, zone_, x.window_end, p_now) n
     where x.account_id = p_account and x.subject = any(subjects) and x.window_end <= p_now
       and l.id = x.id and l.account_id = p_account;
  end if;
end $$;

-- The refusal for the limit that this use would exceed; null when there is none. p_parent: the hold from which the use
-- takes its credits; a limit that counts that hold counts them already.
create or replace function ledger_over_limit(u ledger_use, p_now timestamptz, p_parent billing_hold default null) returns jsonb
language plpgsql as $$
declare l billing_limit; adds numeric;
begin
  -- usually no window has ended and no maximum is passed: one look-up decides that
  if not exists (select from billing_limit x where x.account_id = u.account_id and ledger_limit_stops(x, u, p_now)) then
    return null;
  end if;
  perform ledger_roll_limits(u.account_id, p_now,
    ledger_limit_subjects(u.project_id, u.member_id, u.api_key_id, u.quota));
  for l in select * from billing_limit x where x.account_id = u.account_id and ledger_limit_matches(x, u)
            order by x.kind, x.subject, x.window_end desc loop
    adds := ledger_limit_amount(l.kind, u.credits, u.quota_count);
    continue when l.kind <> 'quota' and p_parent.id is not null and ledger_hold_counts(p_parent, l.kind, l.subject, l.window_start);
    if adds > 0 and l.used + adds > l.maximum then
      perform ledger_limit_event(l, p_now);
      return jsonb_build_object('limit', l.kind, 'subject', l.subject, 'maximum', l.maximum::text,
        'used', l.used::text, 'resets_at', l.window_end);
    end if;
  end loop;
  return null;
end $$;

-- Counts a use in every limit that matches it: first subtracts p_back where it was counted (at p_back_at) in the
-- present window, then adds. Returns how many limits matched. Callers that subtract must roll the windows first.
create or replace function ledger_count(
  u ledger_use, p_credits numeric, p_count numeric, p_back numeric default 0, p_back_count numeric default 0,
  p_back_at timestamptz default null) returns int
language plpgsql as $$
declare matched int;
begin
  update billing_limit l
     set used = greatest(0, l.used - case when p_back_at >= l.window_start
                                       then ledger_limit_amount(l.kind, p_back, p_back_count) else 0 end)
                + ledger_limit_amount(l.kind, p_credits, p_count)
   where l.account_id = u.account_id and ledger_limit_matches(l, u);
  get diagnostics matched = row_count;
  return matched;
end $$;

-- Adds p_credits to the limits that count what a hold reserves. They are those of the holds above it too.
create or replace function ledger_count_reserved(h billing_hold, p_credits numeric, p_now timestamptz) returns void
language plpgsql as $$
declare above billing_hold := h; subjects text[] := ledger_limit_subjects(h.project_id, h.member_id, h.api_key_id, null);
begin
  while above.parent_id is not null loop
    select * into strict above from billing_hold x where x.account_id = above.account_id and x.id = above.parent_id;
    subjects := subjects || ledger_limit_subjects(above.project_id, above.member_id, above.api_key_id, null);
  end loop;
  perform ledger_roll_limits(h.account_id, p_now, subjects);
  update billing_limit l set used = greatest(0, l.used + p_credits)
   where l.account_id = h.account_id and l.subject = any(subjects) and l.kind <> 'quota'
     and ledger_hold_counts(h, l.kind, l.subject, l.window_start);
end $$;

-- Subtracts from the limits what they count of a hold that is closed.
create or replace function ledger_uncount_hold(h billing_hold, p_now timestamptz) returns void
language plpgsql as $$
declare counted int;
begin
  if h.quota is not null then
    perform ledger_roll_limits(h.account_id, p_now, array[h.quota]);
    counted := ledger_count(ledger_hold_use(h), 0, 0, 0, h.quota_count, h.created_at);
  end if;
  perform ledger_count_reserved(h, -ledger_hold_amount(h), p_now);
end $$;

-- Adds the charges since the last call to the sums of their projects, members and keys. The caller has locked the wallet;
-- later charges are dated at its newest entry or after it, so charges before that time are complete. Callers do so
-- once in 2,000 entries, which costs a charge 1 us; a long backlog is summed over several calls.
create or replace function ledger_sum_uses(w billing_wallet) returns void
language plpgsql as $$
declare since_ timestamptz := w.summed_at; until_ timestamptz; last_ timestamptz;
begin
  if since_ is null then
    select min(x.created_at) into since_ from billing_charge x where x.account_id = w.account_id;
  end if;
  select x.created_at into last_ from billing_charge x where x.account_id = w.account_id and x.created_at >= since_
   order by x.created_at offset 8000 limit 1;
  until_ := case when w.moved_at is not null then least(w.moved_at, last_) end;
  if until_ > since_ then
    insert into billing_usesum(account_id, subject, since, until, credits)
    select w.account_id, s.subject, since_, until_, sum(c.credits - c.uncollected - c.returned)
    from billing_charge c, unnest(array[c.project_id, c.member_id, c.api_key_id]) s(subject)
    where c.account_id = w.account_id and c.created_at >= since_ and c.created_at < until_ and s.subject is not null
    group by s.subject;
  end if;
  update billing_wallet x set summed_at = coalesce(until_, x.summed_at), summed_seq = w.seq where x.account_id = w.account_id;
end $$;

-- Subtracts what a reversal returned from the sums that contain its charge.
create or replace function ledger_unsum(c billing_charge, p_credits numeric) returns void
language sql as $$
  update billing_usesum x set credits = x.credits - p_credits
   where x.account_id = c.account_id and x.subject = any(array[c.project_id, c.member_id, c.api_key_id])
     and x.since <= c.created_at and x.until > c.created_at
$$;

-- What charges from p_since on took for a project, member or key, reversals subtracted: whole stretches from their
-- sums, the charges of the stretch that p_since divides, and those that are not summed yet. For the account, which has no
-- sums, all charges. One snapshot; no lock is needed.
create or replace function ledger_seen(p_account uuid, p_kind text, p_subject text, p_since timestamptz) returns numeric
language plpgsql stable as $$
declare subject_ uuid; summed numeric; summed_until timestamptz; divided_until timestamptz; single numeric;
begin
  if p_kind = 'account' then
    return (select coalesce(sum(x.credits - x.uncollected - x.returned), 0) from billing_charge x
             where x.account_id = p_account and x.created_at >= p_since);
  end if;
  subject_ := p_subject::uuid;
  select x.summed_at into summed_until from billing_wallet x where x.account_id = p_account;
  select coalesce(sum(x.credits) filter (where x.since >= p_since), 0), max(x.until) filter (where x.since < p_since)
    into summed, divided_until
    from billing_usesum x where x.account_id = p_account and x.subject = subject_ and x.until > p_since;
  select coalesce(sum(c.credits - c.uncollected - c.returned), 0) into single from (
    select * from billing_charge x
     where x.account_id = p_account and x.created_at >= p_since and x.created_at < divided_until
    union all select * from billing_charge x
     where x.account_id = p_account and x.created_at >= greatest(p_since, summed_until)) c
   where case p_kind when 'project' then c.project_id when 'member' then c.member_id else c.api_key_id end = subject_;
  return summed + single;
end $$;

-- What to add, under the lock, to what ledger_seen counted when p_seq was the wallet's newest entry: what the entries
-- since then took or returned, and the running holds.
create or replace function ledger_seen_since(
  p_account uuid, p_kind text, p_subject text, p_since timestamptz, p_seq bigint) returns numeric
language sql stable as $$
  select coalesce((select -sum(e.credits) from billing_entry e
                     join billing_charge c on c.account_id = p_account and c.id = e.charge_id
                   where e.account_id = p_account and e.seq > p_seq and e.kind in ('charge', 'reverse') and c.created_at >= p_since
                     and p_subject = ledger_limit_subject(p_kind, c.project_id, c.member_id, c.api_key_id, null)), 0)
       + coalesce((select sum(ledger_hold_amount(h)) from billing_hold h
                   where h.account_id = p_account and h.status = 'held' and h.created_at >= p_since
                     and ledger_hold_counts(h, p_kind, p_subject, p_since)), 0)
$$;

-- Sets, changes or (maximum null) removes a limit. A new limit starts with what its window has already seen; a new
-- maximum keeps the window. A key has a limit for each period; any other subject has one limit, and a new period starts
-- a window. Returns what is used.
-- What the window has seen is counted before the wallet is locked, so that the charges of a busy month delay no other
-- move; under the lock only the entries written meanwhile are counted.
create or replace function ledger_set_limit(
  p_account uuid, p_kind text, p_subject text, p_period text, p_maximum numeric, p_now timestamptz) returns numeric
language plpgsql as $$
declare w billing_wallet; n record; seen numeric; counted_seq bigint; zone_ text; changed boolean;
begin
  select a.zone into zone_ from accounts_account a where a.id = p_account;
  n := ledger_window(p_period, zone_, p_now);
  if p_maximum is not null and p_kind <> 'quota' and not exists (
    select from billing_limit where account_id = p_account and kind = p_kind and subject = p_subject and period = p_period) then
    -- one statement, so that the number and the sum belong to the same snapshot
    select x.seq, ledger_seen(p_account, p_kind, p_subject, n.starts_at) into counted_seq, seen
      from billing_wallet x where x.account_id = p_account;
  end if;
  w := ledger_lock(p_account, p_now);
  p_now := greatest(p_now, w.moved_at);
  -- a wallet whose newest entry is later than this process's clock may be in the next window
  if n.ends_at <= p_now then n := ledger_window(p_period, zone_, p_now); counted_seq := null; end if;
  select count(*) <> case when p_maximum is null then 0 else 1 end
      or coalesce(bool_or(x.period <> p_period or x.maximum <> p_maximum), false)
    into changed from billing_limit x where x.account_id = p_account and x.kind = p_kind and x.subject = p_subject
     and (p_kind <> 'key' or x.period = p_period);
  if p_maximum is null then
    delete from billing_limit where account_id = p_account and kind = p_kind and subject = p_subject
       and (p_kind <> 'key' or period = p_period);
  else
    perform ledger_roll_limits(p_account, p_now, array[p_subject]);
    update billing_limit set maximum = p_maximum
     where account_id = p_account and kind = p_kind and subject = p_subject and period = p_period;
    if not found then
      if p_kind <> 'quota' then
        -- not counted yet, for example where another call has removed the limit meanwhile
        if counted_seq is null then seen := ledger_seen(p_account, p_kind, p_subject, n.starts_at); counted_seq := w.seq; end if;
        seen := seen + ledger_seen_since(p_account, p_kind, p_subject, n.starts_at, counted_seq);
      end if;
      delete from billing_limit where account_id = p_account and kind = p_kind and subject = p_subject and p_kind <> 'key';
      insert into billing_limit(account_id, kind, subject, period, maximum, used, window_start, window_end)
      values (p_account, p_kind, p_subject, p_period, p_maximum, coalesce(seen, 0), n.starts_at, n.ends_at);
    end if;
  end if;
  w.limited := exists (select from billing_limit where account_id = p_account);
  w := ledger_write(w, case when changed then ledger_terms_changed(p_account, '', w.warn_below, p_now)
                            else '{}'::ledger_move[] end, p_now);
  select used into seen from billing_limit
   where account_id = p_account and kind = p_kind and subject = p_subject and period = p_period;
  return seen;
end $$;
