-- Time: the periods of allowances and the windows of limits.
-- Invariant: days begin at the first instant of the local date in the account's zone. Months are counted from their anchor, in UTC, and from
-- the anchor each time, never from the month before (31 January, 28 February, 31 March).

-- The first instant with this local time. Where clocks go back, a local time occurs twice and `at time zone` takes the
-- second; the offset of the day before gives the first. A local time that clocks skip is the instant of the change.
create or replace function ledger_first_instant(p_local timestamp, p_zone text) returns timestamptz
language plpgsql stable as $$
declare at_ timestamptz := p_local at time zone p_zone; before_ timestamptz := at_ - interval '24 hours'; earlier timestamptz;
begin
  earlier := (p_local - ((before_ at time zone p_zone) - (before_ at time zone 'UTC'))) at time zone 'UTC';
  return case when (earlier at time zone p_zone) = p_local then least(earlier, at_) else at_ end;
end $$;

-- The instant at which a local date begins. Python has the same rule in accounts/zones.py for ranges that pages show.
-- The first case holds on every day without a change of clocks, and is inlined by the planner.
create or replace function ledger_midnight(p_day date, p_zone text) returns timestamptz
language sql stable as $$
  select case when ((p_day::timestamp at time zone p_zone) - interval '24 hours') at time zone p_zone = p_day - interval '1 day'
              then p_day::timestamp at time zone p_zone else ledger_first_instant(p_day::timestamp, p_zone) end
$$;

create or replace function ledger_month_start(p_anchor timestamptz, p_months int) returns timestamptz
language sql stable as $$ select ((p_anchor at time zone 'UTC') + make_interval(months => p_months)) at time zone 'UTC' $$;

-- The number of whole months from the anchor to the start of the month that contains p_now.
create or replace function ledger_months(p_anchor timestamptz, p_now timestamptz) returns int
language sql stable as $$
  select m - case when ledger_month_start(p_anchor, m) > p_now then 1 else 0 end
  from (select ((extract(year from p_now at time zone 'UTC') - extract(year from p_anchor at time zone 'UTC')) * 12
              + extract(month from p_now at time zone 'UTC') - extract(month from p_anchor at time zone 'UTC'))::int as m) x
$$;

-- The period of an allowance that contains p_now. After a change of zone the running period ends at the first
-- midnight of the new zone at least 24 hours after it began: a change of zone can make a day longer, never shorter.
create or replace function ledger_period(
  p_period text, p_anchor timestamptz, p_old_zone text, p_zone text, p_now timestamptz,
  out starts_at timestamptz, out ends_at timestamptz)
language plpgsql stable as $$
declare m int; day_ date;
begin
  if p_period = 'once' then
    starts_at := p_anchor; ends_at := null;
  elsif p_period = 'month' then
    m := ledger_months(p_anchor, p_now);
    starts_at := ledger_month_start(p_anchor, m);
    ends_at := ledger_month_start(p_anchor, m + 1);
  else
    day_ := (p_now at time zone p_old_zone)::date;
    starts_at := ledger_midnight(day_, p_old_zone);
    if p_old_zone = p_zone then
      ends_at := ledger_midnight(day_ + 1, p_zone);
    else
      day_ := (greatest(p_now, starts_at + interval '24 hours' - interval '1 microsecond') at time zone p_zone)::date;
      ends_at := ledger_midnight(day_ + 1, p_zone);
    end if;
  end if;
end $$;

-- The periods from p_from, where one begins in p_zone, to the one that contains p_upto: all of them, or only the last.
create or replace function ledger_later_periods(
  p_period text, p_anchor timestamptz, p_zone text, p_from timestamptz, p_upto timestamptz, p_every boolean)
returns table(starts_at timestamptz, ends_at timestamptz)
language plpgsql stable as $$
begin
  if not p_every then
    return query select p.starts_at, p.ends_at from ledger_period(p_period, p_anchor, p_zone, p_zone, p_upto) p;
  elsif p_period = 'month' then
    return query select ledger_month_start(p_anchor, m), ledger_month_start(p_anchor, m + 1)
      from generate_series(ledger_months(p_anchor, p_from), ledger_months(p_anchor, p_upto)) m;
  else
    -- a date that the zone skipped has no instant
    return query select d.starts, d.ends from (
        select ledger_midnight(first + n, p_zone) as starts, ledger_midnight(first + n + 1, p_zone) as ends
        from (select (p_from at time zone p_zone)::date as first, (p_upto at time zone p_zone)::date as last) x,
             lateral generate_series(0, last - first) n) d
      where d.starts < d.ends;
  end if;
end $$;

-- The window of a limit that contains p_now: the account's local day or month, or all time.
create or replace function ledger_window(p_period text, p_zone text, p_now timestamptz,
  out starts_at timestamptz, out ends_at timestamptz)
language plpgsql stable as $$
declare local_ timestamp := p_now at time zone p_zone;
begin
  if p_period = 'ever' then
    starts_at := '1970-01-01T00:00:00Z'; ends_at := null;
  else
    starts_at := ledger_midnight(date_trunc(p_period, local_)::date, p_zone);
    ends_at := ledger_midnight((date_trunc(p_period, local_) + ('1 ' || p_period)::interval)::date, p_zone);
  end if;
end $$;

-- When credits of an allowance expire that are granted in the period [p_starts, p_ends).
create or replace function ledger_expiry(p_lasts text, p_starts timestamptz, p_ends timestamptz) returns timestamptz
language sql stable as $$
  select case p_lasts when 'period' then p_ends when 'forever' then null
         else ((p_starts at time zone 'UTC') + p_lasts::interval) at time zone 'UTC' end
$$;
