"""When the status or the refunds of a purchase last changed: the events of an account are read by it.

Purchases of an earlier release have no such time: no stream has begun before they changed.
"""

from django.db import migrations, models

from billing.ledger import installation


class Migration(migrations.Migration):
    dependencies = [("billing", "0021_webhook_events")]
    operations = [
        migrations.AddField(
            model_name="purchase",
            name="changed_at",
            field=models.DateTimeField(
                editable=False,
                help_text="When status or refunds last changed, by the database's clock; set by a trigger.",
                null=True,
            ),
        ),
        migrations.RunPython(installation.install, migrations.RunPython.noop),
    ]
