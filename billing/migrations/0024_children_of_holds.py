"""Index of the children of a hold, built beside running moves (see migration 0018)."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("billing", "0023_child_holds")]
    operations = [
        migrations.RunSQL("drop index concurrently if exists hold_children", migrations.RunSQL.noop),
        AddIndexConcurrently(
            model_name="hold",
            index=models.Index(
                fields=["account", "parent_id"], name="hold_children", condition=~models.Q(parent_id=None)
            ),
        ),
    ]
