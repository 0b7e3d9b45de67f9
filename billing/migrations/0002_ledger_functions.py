"""The moves of the ledger are SQL functions; see billing/ledger/sql."""

from django.db import migrations

from billing.ledger import installation


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial"), ("accounts", "0001_initial")]
    operations = [migrations.RunPython(installation.install, migrations.RunPython.noop, atomic=True)]
