"""Counts of a running window need not survive a crash: without a write-ahead log they cost no flush to disk."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("core", "0001_initial")]

    operations = [
        migrations.RunSQL(
            "alter table core_ratewindow set unlogged", "alter table core_ratewindow set logged"
        )
    ]
