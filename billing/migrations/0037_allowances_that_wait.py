"""A daily allowance that was to begin later begins at once when its plan does."""

from django.db import migrations

from billing.ledger import installation


class Migration(migrations.Migration):
    dependencies = [("billing", "0036_lock_timeout_of_a_call")]
    operations = [migrations.RunPython(installation.install, migrations.RunPython.noop)]
