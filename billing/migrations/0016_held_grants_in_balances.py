"""Installs the ledger's functions: a balance lists the grants that are held whole."""

from django.db import migrations

from billing.ledger import installation


class Migration(migrations.Migration):
    dependencies = [("billing", "0015_unpaid_deductions")]
    operations = [migrations.RunPython(installation.install, migrations.RunPython.noop)]
