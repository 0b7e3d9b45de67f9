"""Indexes of the sums of usage: reversals by time, and the wallets with many charges.

They are built beside running charges (CREATE INDEX CONCURRENTLY). Such a build that is interrupted leaves an invalid
index; the migration can be run again, because it first drops what is there.
"""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("billing", "0017_alert_addresses")]
    operations = [
        migrations.RunSQL("drop index concurrently if exists correction_by_time", migrations.RunSQL.noop),
        migrations.RunSQL("drop index concurrently if exists wallet_summed", migrations.RunSQL.noop),
        AddIndexConcurrently(
            model_name="correction",
            index=models.Index(fields=["account", "created_at"], name="correction_by_time"),
        ),
        AddIndexConcurrently(
            model_name="wallet",
            index=models.Index(
                fields=["account"], name="wallet_summed", condition=~models.Q(summed_at=None)
            ),
        ),
    ]
