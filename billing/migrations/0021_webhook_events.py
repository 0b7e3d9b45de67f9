"""The ledger records events for outgoing webhooks."""

from django.db import migrations

from billing.ledger import installation


class Migration(migrations.Migration):
    dependencies = [("billing", "0020_key_limits"), ("accounts", "0004_webhooks")]
    operations = [migrations.RunPython(installation.install, migrations.RunPython.noop)]
