"""Drop the functions that one writer replaced. Migration 0004 installs the others."""

from django.db import migrations

from billing.ledger import installation

GONE = [
    "ledger_capture(ledger_use, uuid, timestamptz)",
    "ledger_capture_parts",
    "ledger_capture_plain",
    "ledger_capture_refused",
    "ledger_charge_set(ledger_use[], timestamptz)",
    "ledger_count(ledger_use, numeric, numeric, timestamptz)",
    "ledger_fresh_grant",
    "ledger_give_back(billing_wallet, billing_hold, text, timestamptz, timestamptz)",
    "ledger_hold_plain",
    "ledger_land",
    "ledger_plan",
    "ledger_post",
    "ledger_record_charge",
    "ledger_record_correction",
    "ledger_recount",
    "ledger_refuse",
    "ledger_repay(billing_wallet, uuid, numeric, timestamptz)",
    "ledger_return",
    "ledger_save",
    "ledger_uncount",
    "ledger_write_plain",
]


def remove(apps, schema_editor):
    installation.remove(schema_editor, GONE)


class Migration(migrations.Migration):
    dependencies = [("billing", "0002_ledger_functions")]
    operations = [migrations.RunPython(remove, migrations.RunPython.noop, atomic=True)]
