"""The functions of the ledger that Python calls have the account as their first argument."""

from django.db import migrations

from billing.ledger import installation


class Migration(migrations.Migration):
    dependencies = [("billing", "0033_purchase_language")]
    operations = [migrations.RunPython(installation.install, migrations.RunPython.noop)]
