"""Installs the ledger's functions: the audit goes on where the parent of a hold is missing, and names it."""

from django.db import migrations

from billing.ledger import installation


class Migration(migrations.Migration):
    dependencies = [("billing", "0026_limits_of_trees")]
    operations = [migrations.RunPython(installation.install, migrations.RunPython.noop)]
