-- Each correction has the digest of an entry, and a claw-back is marked as undone exactly by its restoration.
select 'correction ' || c.id || ' (account ' || c.account_id || ')' as subject, 'no entry has the digest of its row' as found
from billing_correction c where c.account_id in (select x.account_id from billing_correction x where {scope})
  and not exists (select from corrected e where e.account_id = c.account_id and e.digest = ledger_correction_digest(c))
union all
select 'corrections of account ' || e.account_id, 'an entry has the digest ' || encode(e.digest, 'hex') || ', no row has it'
from corrected e where not exists (
  select from billing_correction c where c.account_id = e.account_id and ledger_correction_digest(c) = e.digest)
union all
select 'correction ' || c.id || ' (account ' || c.account_id || ')', 'undone by ' || c.undone_by_id || ', which does not restore it'
from billing_correction c where c.account_id in (select x.account_id from billing_correction x where {scope}) and c.undone_by_id is not null
  and not exists (select from billing_correction r where r.account_id = c.account_id and r.id = c.undone_by_id and r.kind = 'restore'
                  and r.credits - r.debt = c.credits + c.debt and r.purchase_id is not distinct from c.purchase_id)
union all
select 'correction ' || r.id || ' (account ' || r.account_id || ')', 'it restores no claw-back'
from billing_correction r where r.account_id in (select x.account_id from billing_correction x where {scope}) and r.kind = 'restore'
  and 1 <> (select count(*) from billing_correction c where c.account_id = r.account_id and c.undone_by_id = r.id and c.kind = 'claw_back')
