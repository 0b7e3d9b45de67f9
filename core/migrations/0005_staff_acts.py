"""The audit log of staff. Triggers refuse every change of a row, from any role, TRUNCATE included."""

import core.ids
from django.db import migrations, models

TRIGGERS = """
create function staff_act_refuse_change() returns trigger language plpgsql as $$
begin
  raise exception '% is append-only: % refused', tg_table_name, tg_op using errcode = 'restrict_violation';
end $$;
create trigger staff_act_append_only before delete or update on core_staffact
  for each row execute function staff_act_refuse_change();
create trigger staff_act_no_truncate before truncate on core_staffact
  for each statement execute function staff_act_refuse_change();
"""
REMOVAL = """
drop trigger staff_act_append_only on core_staffact;
drop trigger staff_act_no_truncate on core_staffact;
drop function staff_act_refuse_change();
"""


class Migration(migrations.Migration):

    dependencies = [
        ('core', '0004_daily_runs'),
    ]

    operations = [
        migrations.CreateModel(
            name='StaffAct',
            fields=[
                ('id', models.UUIDField(default=core.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('actor_id', models.UUIDField()),
                ('act', models.CharField(max_length=60)),
                ('subject_type', models.CharField(blank=True, help_text='Such as accounts.user.', max_length=60)),
                ('subject_id', models.CharField(blank=True, max_length=64)),
                ('account_id', models.UUIDField(blank=True, null=True)),
                ('reason', models.TextField(blank=True)),
                ('before', models.JSONField(default=dict)),
                ('after', models.JSONField(default=dict)),
                ('created_at', models.DateTimeField()),
            ],
            options={
                'verbose_name': 'Staff act',
                'verbose_name_plural': 'Audit log',
                'indexes': [models.Index(fields=['account_id', 'created_at'], name='act_account'), models.Index(fields=['actor_id', 'created_at'], name='act_actor'), models.Index(fields=['created_at'], name='act_time')],
            },
        ),
        migrations.RunSQL(TRIGGERS, REMOVAL),
    ]
