"""A key has a limit for each period. Installs the ledger's functions, which no longer need the former constraint."""

from django.db import migrations, models

from billing.ledger import installation


class Migration(migrations.Migration):
    dependencies = [("billing", "0019_waiting_purchases")]
    operations = [
        migrations.RemoveConstraint(model_name="limit", name="limit_once"),
        migrations.AddConstraint(
            model_name="limit",
            constraint=models.UniqueConstraint(
                fields=("account", "subject", "kind", "period"), name="limit_once"
            ),
        ),
        migrations.RunPython(installation.install, migrations.RunPython.noop),
    ]
