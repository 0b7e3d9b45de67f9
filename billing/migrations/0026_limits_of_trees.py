"""The ledger's functions: limits count what children of other subjects reserve, and falls to zero are events.

What limits have used is counted again where an account has open children: until now a parent's limits did not
count them.
"""

from django.db import migrations

from billing.ledger import installation

ACCOUNTS = "select account_id from billing_hold where status = 'held' and parent_id is not null"
LOCK = f"select from billing_wallet where account_id in ({ACCOUNTS}) order by account_id for no key update"
AGAIN = f"""
update billing_limit l set used = (
    select coalesce(sum(x.credits), 0) from (
      select c.credits - c.uncollected - c.returned as credits from billing_charge c
       where c.account_id = l.account_id and c.created_at >= l.window_start
         and l.subject = ledger_limit_subject(l.kind, c.project_id, c.member_id, c.api_key_id, null)
      union all
      select ledger_hold_amount(h) from billing_hold h
       where h.account_id = l.account_id and h.status = 'held' and h.created_at >= l.window_start
         and ledger_hold_counts(h, l.kind, l.subject, l.window_start)) x)
 where l.kind <> 'quota' and l.account_id in ({ACCOUNTS})
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0025_last_daily_allowance"), ("accounts", "0006_former_secrets")]
    operations = [
        migrations.RunPython(installation.install, migrations.RunPython.noop),
        migrations.RunSQL([LOCK, AGAIN], migrations.RunSQL.noop),
    ]
