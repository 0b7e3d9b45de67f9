"""Indexes of the sums of usage: reversals by time, and the wallets with many charges.

They are built beside running charges (CREATE INDEX CONCURRENTLY).
"""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("billing", "0017_alert_addresses")]
    operations = [
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
