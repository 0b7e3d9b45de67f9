"""Installs the ledger's functions: a balance has the daily allowance also on the last day of a plan."""

from django.db import migrations

from billing.ledger import installation


class Migration(migrations.Migration):
    dependencies = [("billing", "0024_children_of_holds")]
    operations = [migrations.RunPython(installation.install, migrations.RunPython.noop)]
