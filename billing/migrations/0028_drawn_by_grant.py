"""Installs the ledger's functions: a capture above what was held lists each grant once in `drawn`."""

from django.db import migrations

from billing.ledger import installation


class Migration(migrations.Migration):
    dependencies = [("billing", "0027_missing_parents")]
    operations = [migrations.RunPython(installation.install, migrations.RunPython.noop)]
