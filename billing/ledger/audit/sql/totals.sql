select '' as subject, jsonb_build_object(
  'issued', coalesce(sum(credits) filter (where kind in ('grant', 'adjust') and credits > 0), 0),
  'spent', coalesce(-sum(credits) filter (where kind in ('charge', 'reverse')), 0),
  'expired', coalesce(-sum(credits) filter (where kind = 'expire'), 0),
  'taken_back', coalesce(-sum(credits) filter (where kind in ('claw_back', 'restore', 'repay')), 0)
     - coalesce(sum(credits) filter (where kind = 'adjust' and credits < 0), 0),
  'carried', coalesce(sum(credits) filter (where kind = 'carry_over'), 0),
  'entries', count(*))::text as found
from page
