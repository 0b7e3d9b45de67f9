"""Former installation of the ledger's SQL functions; migration 0004 installs them.

The functions are read from `billing/ledger/sql` and refer to columns that later migrations add.
"""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial"), ("accounts", "0001_initial")]
    operations = []
