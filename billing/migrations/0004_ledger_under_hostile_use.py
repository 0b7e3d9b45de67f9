"""Columns for isolation, exact statements and the audit, and the ledger's SQL functions.

Stored sums are filled from the entries, so that a database of an earlier version has them too.
"""

import core.models
import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

from billing.ledger import installation

FILL = """
update billing_wallet w set
  moved_at = (select max(e.created_at) from billing_entry e where e.account_id = w.account_id),
  running_holds = (select count(*) from billing_hold h where h.account_id = w.account_id and h.status = 'held');
update billing_grant g set first_seq = e.first_seq, last_seq = e.last_seq
  from (select account_id, grant_id, min(seq) as first_seq, max(seq) as last_seq from billing_entry
        group by account_id, grant_id) e
 where e.account_id = g.account_id and e.grant_id = g.id;
"""

# Wallets, grants, limits and holds change with every move. Free space on the page lets an update stay on it and
# leave the indexes alone (heap-only tuple). Their few dead rows in the indexes are removed early: at 2 % of the
# rows, not at 20 %. Entries and charges only grow: they are frozen and their visibility is recorded in steps of 2 %,
# not in one run over a fifth of the table, and their statistics follow. docs/performance.md gives the reasons.
# Set once: an operator's own figures are kept by later installations.
STORAGE = """
alter table billing_wallet set (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
alter table billing_grant set (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
  autovacuum_analyze_scale_factor = 0.02);
alter table billing_limit set (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
alter table billing_hold set (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
  autovacuum_analyze_scale_factor = 0.02);
alter table billing_notice set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
alter table billing_entry set (autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_vacuum_insert_threshold = 100000,
  autovacuum_analyze_scale_factor = 0.02);
alter table billing_charge set (autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_vacuum_insert_threshold = 100000,
  autovacuum_analyze_scale_factor = 0.02);
"""

# As 70_corrections.sql defines `spent`; the first entries of a grant say what its credits repaid when they were granted.
FILL_SUMS = """
with moved as (
  select case when e.kind = 'reverse' and e.seq = g.first_seq and g.idempotency_key like 'return:%'
           then right(g.idempotency_key, 36)::uuid else g.id end as grant_id,
         case when e.kind in ('charge', 'repay', 'reverse') then -e.credits else -e.debt end as spent
  from billing_entry e join billing_grant g on g.account_id = e.account_id and g.id = e.grant_id
  where e.kind in ('charge', 'repay', 'reverse', 'claw_back', 'restore'))
update billing_grant g set spent = m.spent
  from (select grant_id, sum(spent) as spent from moved group by grant_id) m
 where m.grant_id = g.id;
update billing_grant g set repaid = coalesce(-r.credits, 0), balance_after = coalesce(r.balance_after, e.balance_after)
  from billing_entry e left join billing_entry r
    on r.account_id = e.account_id and r.seq = e.seq + 1 and r.grant_id = e.grant_id and r.kind = 'repay'
 where e.account_id = g.account_id and e.seq = g.first_seq and e.kind = 'grant';
"""

# Functions of an earlier release. `install` creates the present ones: none is left that has gone, or has other
# parameters or another result, which `create or replace` refuses or adds beside the new one. Triggers keep theirs.
FORMER = """select p.oid::regprocedure::text from pg_proc p
  where p.pronamespace = current_schema()::regnamespace and p.proname like 'ledger\\_%' and p.prorettype <> 'trigger'::regtype"""


# Earlier entries get the present form of the chain: times that never go backwards, digests, and an entry for each record
# that moved no credits. The chain is verified in its earlier form first, so that rewriting it hides nothing.
# Joins of whole tables: with few rows expected, PostgreSQL would read an account's entries again for each of its charges.
RECHAIN = """
set local enable_nestloop = off;
do $$
declare broken record;
begin
  select account_id, seq into broken from (
    select account_id, seq, hash, sha256(coalesce(lag(hash) over w, sha256(uuid_send(account_id))) || convert_to(
        concat_ws('|', account_id, seq, kind, grant_id, credits, debt, grant_after, balance_after,
          coalesce(charge_id::text, ''), coalesce(hold_id::text, ''), reason, actor,
          (extract(epoch from created_at) * 1000000)::bigint), 'UTF8')) as expected
    from billing_entry window w as (partition by account_id order by seq)) e
  where hash <> expected limit 1;
  if found then
    raise exception 'the chain of account % is broken at entry %: run audit_ledger with the earlier version first',
      broken.account_id, broken.seq;
  end if;
end $$;
alter table billing_entry disable trigger user;
update billing_entry e set created_at = m.at
  from (select id, max(created_at) over (partition by account_id order by seq) as at from billing_entry) m
 where m.id = e.id and m.at > e.created_at;
update billing_entry e set digest = ledger_grant_digest(g) from billing_grant g
 where g.account_id = e.account_id and g.id = e.grant_id and g.first_seq = e.seq;
update billing_entry e set digest = ledger_charge_digest(c) from billing_charge c,
  (select account_id, charge_id, min(seq) as seq from billing_entry where kind = 'charge' group by account_id, charge_id) f
 where f.account_id = e.account_id and f.seq = e.seq and c.account_id = f.account_id and c.id = f.charge_id;
update billing_entry e set digest = ledger_hold_digest(h) from billing_hold h,
  (select account_id, hold_id, min(seq) as seq from billing_entry where kind = 'hold' group by account_id, hold_id) f
 where f.account_id = e.account_id and f.seq = e.seq and h.account_id = f.account_id and h.id = f.hold_id;
insert into billing_entry(account_id, seq, kind, credits, debt, grant_after, balance_after, charge_id, hold_id, reason,
  actor, created_at, digest, hash)
select w.account_id, w.seq + row_number() over (partition by w.account_id order by r.at, r.place, r.charge_id), r.kind, 0, 0,
  0, w.balance, r.charge_id, r.hold_id, r.reason, r.actor, coalesce(w.moved_at, w.created_at), r.digest, ''
from billing_wallet w join (
  select account_id, 'charge' as kind, 3 as place, created_at as at, id as charge_id, hold_id, '' as reason, '' as actor,
         ledger_charge_digest(c) as digest
  from billing_charge c where not exists (
    select from billing_entry e where e.account_id = c.account_id and e.charge_id = c.id and e.kind = 'charge')
  union all
  select account_id, 'hold', 1, created_at, null, id, '', '', ledger_hold_digest(h) from billing_hold h where credits = 0
  union all
  select account_id, 'release', 2, created_at, charge_id, id, '', '', null from billing_hold h
   where credits = 0 and status <> 'held'
  union all
  select account_id, 'correct', 4, created_at, charge_id, null, reason, actor, ledger_correction_digest(c)
  from billing_correction c
  union all
  select account_id, 'terms', 5, 'infinity', null, null, '', '', ledger_terms_digest(account_id, warn_below)
  from billing_wallet where ledger_terms_digest(account_id, warn_below) is not null
) r on r.account_id = w.account_id;
update billing_hold h set closed_at = e.created_at from billing_entry e
 where e.kind = 'release' and e.account_id = h.account_id and e.hold_id = h.id and e.created_at <> h.closed_at;
update billing_entry e set hash = c.hash from (
  select id, ledger_chain(sha256(uuid_send(account_id)), ledger_payload(account_id, seq, kind, grant_id, credits, debt,
      grant_after, balance_after, charge_id, hold_id, reason, actor, created_at, digest))
    over (partition by account_id order by seq) as hash from billing_entry) c
 where c.id = e.id;
update billing_wallet w set seq = e.seq, head = e.hash, moved_at = e.created_at
  from (select distinct on (account_id) account_id, seq, hash, created_at from billing_entry
        order by account_id, seq desc) e
 where e.account_id = w.account_id;
alter table billing_entry enable trigger user;
set local enable_nestloop = on;
"""


def remove_former(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(FORMER)
        former = [function for (function,) in cursor.fetchall()]
    installation.remove(schema_editor, former)


# As ledger_sum_uses does for each account from now on: stretches of 2,000 charges.
FILL_USE_SUMS = """
with bounds as (
  select account_id, created_at as since, lead(created_at) over (partition by account_id order by created_at) as until
  from (select account_id, created_at, row_number() over (partition by account_id order by created_at) as n from billing_charge) c
  where n % 2000 = 1
)
insert into billing_usesum(account_id, subject, since, until, credits)
select b.account_id, s.subject, b.since, b.until, sum(c.credits - c.uncollected - c.returned)
from bounds b join billing_charge c on c.account_id = b.account_id and c.created_at >= b.since and c.created_at < b.until,
     unnest(array[c.project_id, c.member_id, c.api_key_id]) s(subject)
where s.subject is not null group by 1, 2, 3, 4;
update billing_wallet w set summed_at = s.until, summed_seq = w.seq
  from (select account_id, max(until) as until from billing_usesum group by account_id) s where s.account_id = w.account_id;
"""

# Charges of an earlier version do not say which quota they count against. Those in the present window of a quota get it
# from their service, as the price does; a quota then counts no more than its window has seen, as the audit requires.
FILL_QUOTAS = """
update billing_charge c set quota = l.subject, quota_count = case
    when not exists (select from jsonb_array_elements(c.detail->'lines') x where (x->>'quantity')::numeric > 0) then 0
    else coalesce(nullif(trunc((select sum((x->>'quantity')::numeric) from jsonb_array_elements(c.detail->'lines') x
                                where x->>'meter' = 'uses')), 0), 1) end
from billing_limit l, pricing_service s
where l.kind = 'quota' and c.account_id = l.account_id and c.created_at >= l.window_start and s.quota = l.subject
  and s.key = case when exists (select from pricing_service a where a.key = c.action and a.quota <> '')
                   then c.action else c.service end
  and jsonb_typeof(c.detail->'lines') = 'array';
update billing_limit l set used = least(l.used, (
    select coalesce(sum(x.quota_count), 0) from (
      select c.quota_count from billing_charge c
       where c.account_id = l.account_id and c.created_at >= l.window_start and c.quota = l.subject
      union all
      select h.quota_count from billing_hold h where h.account_id = l.account_id and h.status = 'held'
         and h.created_at >= l.window_start and h.quota = l.subject) x))
where l.kind = 'quota';
"""


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0001_initial'),
        ('billing', '0003_ledger_one_writer'),
        ('pricing', '0001_initial'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='correction',
            name='correction_once',
        ),
        migrations.AddField(
            model_name='charge',
            name='quota',
            field=models.CharField(help_text="The plan's quota that the use counts against.", max_length=100, null=True),
        ),
        migrations.AddField(
            model_name='charge',
            name='quota_count',
            field=models.DecimalField(decimal_places=6, max_digits=20, null=True),
        ),
        migrations.AddField(
            model_name='entry',
            name='digest',
            field=models.BinaryField(help_text='Hash of the record that the entry introduces or changes.', max_length=32, null=True),
        ),
        migrations.AddField(
            model_name='grant',
            name='balance_after',
            field=core.models.CreditsField(help_text="The wallet's balance after the credits were granted.", null=True),
        ),
        migrations.AddField(
            model_name='grant',
            name='first_seq',
            field=models.BigIntegerField(db_default=0, help_text="Number of the grant's first entry."),
        ),
        migrations.AddField(
            model_name='grant',
            name='last_seq',
            field=models.BigIntegerField(db_default=0, help_text="Number of the grant's newest entry."),
        ),
        migrations.AddField(
            model_name='grant',
            name='repaid',
            field=core.models.CreditsField(db_default=0, help_text='The part that repaid debt when the credits were granted.'),
        ),
        migrations.AddField(
            model_name='grant',
            name='spent',
            field=core.models.CreditsField(db_default=0, help_text='Credits consumed and not returned, less what claw-backs have booked as debt.'),
        ),
        migrations.AddField(
            model_name='wallet',
            name='moved_at',
            field=models.DateTimeField(help_text='Time of the newest entry. A move with an earlier clock is dated at this time.', null=True),
        ),
        migrations.AddField(
            model_name='wallet',
            name='running_holds',
            field=models.IntegerField(db_default=0, help_text='Number of holds that are not closed.'),
        ),
        migrations.AlterField(
            model_name='entry',
            name='grant',
            field=models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='billing.grant'),
        ),
        migrations.AddConstraint(
            model_name='correction',
            constraint=models.UniqueConstraint(fields=('account', 'kind', 'idempotency_key'), name='correction_once'),
        ),
        migrations.RemoveConstraint(model_name='limit', name='limit_once'),
        migrations.AddConstraint(
            model_name='limit',
            constraint=models.UniqueConstraint(fields=('account', 'subject', 'kind'), name='limit_once'),
        ),
        migrations.CreateModel(
            name='Checkpoint',
            fields=[
                ('number', models.BigIntegerField(primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField()),
                ('previous', models.BinaryField(help_text='Hash of the checkpoint before; the first: zeros.', max_length=32)),
                ('root', models.BinaryField(help_text='Root of the Merkle tree over its heads.', max_length=32)),
                ('moved', models.BigIntegerField(help_text='Number of its heads.')),
                ('wallets', models.BigIntegerField(help_text='Wallets covered by this and all earlier checkpoints.')),
                ('entries', models.BigIntegerField(help_text='Entries of these wallets.')),
                ('balance', models.DecimalField(decimal_places=6, help_text='Sum over these wallets.', max_digits=30)),
                ('held', models.DecimalField(decimal_places=6, max_digits=30)),
                ('debt', models.DecimalField(decimal_places=6, max_digits=30)),
                ('audits', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), help_text='Audits since the checkpoint before.', size=None)),
                ('audits_hash', models.BinaryField(help_text='Chain of hashes over all audits so far.', max_length=32)),
                ('key_id', models.CharField(max_length=16)),
                ('hash', models.BinaryField(max_length=32)),
                ('signature', models.BinaryField(max_length=64)),
            ],
        ),
        migrations.CreateModel(
            name='Archive',
            fields=[
                ('number', models.BigIntegerField(primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField()),
                ('before', models.DateTimeField(help_text='Its entries are older than this.')),
                ('file', models.CharField(help_text='Path of the file when it was written.', max_length=500)),
                ('file_hash', models.BinaryField(help_text='SHA-256 of the uncompressed content.', max_length=32)),
                ('wallets', models.BigIntegerField()),
                ('entries', models.BigIntegerField()),
                ('root', models.BinaryField(help_text="Root of the Merkle tree over its wallets' records.", max_length=32)),
                ('key_id', models.CharField(max_length=16)),
                ('signature', models.BinaryField(max_length=64)),
            ],
        ),
        migrations.CreateModel(
            name='ArchivedWallet',
            fields=[
                ('pk', models.CompositePrimaryKey('account', 'archive', blank=True, editable=False, primary_key=True, serialize=False)),
                ('seq', models.BigIntegerField(help_text='Number of the last archived entry.')),
                ('head', models.BinaryField(help_text='Hash of that entry.', max_length=32)),
                ('balance', core.models.CreditsField()),
                ('held', core.models.CreditsField()),
                ('debt', core.models.CreditsField()),
                ('last', models.JSONField(help_text='That entry, with the hash before it in `previous`.')),
                ('state', models.JSONField(help_text='What the audit continues from: sums of all archived entries.')),
                ('totals', models.JSONField(help_text="The audit's totals of all archived entries.")),
                ('sums', models.JSONField(help_text="Of purchases' grants, by kind and month, in this archive.")),
                ('records_hash', models.BinaryField(help_text="Hash of the digests of all records that this and earlier archives' entries introduced.", max_length=32)),
                ('account', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='accounts.account')),
                ('archive', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='billing.archive')),
                ('checkpoint', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='billing.checkpoint')),
            ],
            options={
                'indexes': [models.Index(fields=['archive', 'account'], name='archived_by_archive')],
            },
        ),
        migrations.CreateModel(
            name='Head',
            fields=[
                ('pk', models.CompositePrimaryKey('account', 'checkpoint', blank=True, editable=False, primary_key=True, serialize=False)),
                ('seq', models.BigIntegerField(help_text="Number of the wallet's newest entry, which is also their count.")),
                ('head', models.BinaryField(help_text='Hash of that entry.', max_length=32)),
                ('balance', core.models.CreditsField()),
                ('held', core.models.CreditsField()),
                ('debt', core.models.CreditsField()),
                ('account', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='accounts.account')),
                ('checkpoint', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='billing.checkpoint')),
            ],
            options={
                'indexes': [models.Index(fields=['checkpoint', 'account'], name='head_by_checkpoint')],
            },
        ),
        migrations.AddIndex(
            model_name='entry',
            index=models.Index(fields=['grant', 'seq'], name='entry_grant'),
        ),
        migrations.AddIndex(
            model_name='entry',
            index=models.Index(condition=models.Q(('kind', 'charge'), _negated=True), fields=['account', 'kind', 'seq'], name='entry_kind'),
        ),
        migrations.CreateModel(
            name='AuditProgress',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('started_at', models.DateTimeField()),
                ('saved_at', models.DateTimeField()),
                ('is_full', models.BooleanField()),
                ('since_entry', models.BigIntegerField(help_text='Only accounts with newer entries, unless it is full.')),
                ('newest_entry', models.BigIntegerField(help_text='Id of the newest entry when it began.')),
                ('after', models.UUIDField(help_text='Accounts up to this one are done.', null=True)),
                ('totals', models.JSONField(default=dict)),
                ('findings', models.JSONField(default=list)),
                ('signature', models.BinaryField(default=b'')),
            ],
        ),
        migrations.AddField(
            model_name='audit',
            name='checkpoint_hash',
            field=models.BinaryField(default=b'', help_text='Hash of the newest checkpoint that it read.'),
        ),
        migrations.AddField(
            model_name='audit',
            name='signature',
            field=models.BinaryField(default=b'', help_text='Signature of this record; empty for records of an earlier release.'),
        ),
        migrations.AddField(
            model_name='audit',
            name='is_full',
            field=models.BooleanField(db_default=True, help_text='Whether it read all accounts.'),
        ),
        migrations.AddField(
            model_name='audit',
            name='newest_entry',
            field=models.BigIntegerField(db_default=0, help_text='Id of the newest entry when it began.'),
        ),
        migrations.AddField(
            model_name='wallet',
            name='summed_at',
            field=models.DateTimeField(help_text='Charges before it are in the sums (UseSum).', null=True),
        ),
        migrations.AddField(
            model_name='wallet',
            name='summed_seq',
            field=models.BigIntegerField(db_default=0, help_text='Number of the newest entry at that time.'),
        ),
        migrations.CreateModel(
            name='UseSum',
            fields=[
                ('pk', models.CompositePrimaryKey('account', 'subject', 'until', blank=True, editable=False, primary_key=True, serialize=False)),
                ('subject', models.UUIDField()),
                ('since', models.DateTimeField(help_text='Included.')),
                ('until', models.DateTimeField(help_text='Excluded.')),
                ('credits', core.models.CreditsField()),
                ('account', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='accounts.account')),
            ],
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.RunSQL(FILL_SUMS, migrations.RunSQL.noop),
        migrations.RunSQL(FILL_USE_SUMS, migrations.RunSQL.noop),
        migrations.RunSQL(FILL_QUOTAS, migrations.RunSQL.noop),
        migrations.RunPython(remove_former, migrations.RunPython.noop),
        migrations.RunSQL(STORAGE, migrations.RunSQL.noop),
        migrations.RunPython(installation.install, migrations.RunPython.noop),
        migrations.RunSQL(RECHAIN, migrations.RunSQL.noop),
    ]
