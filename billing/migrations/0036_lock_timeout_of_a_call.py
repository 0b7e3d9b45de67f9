"""A parameter of ledger_charge_account is named after the setting that it is."""

from typing import Any

from django.db import migrations

from billing.ledger import installation


def replace(apps: Any, schema_editor: Any) -> None:
    installation.remove(schema_editor, ["ledger_charge_account"])
    installation.install(apps, schema_editor)


class Migration(migrations.Migration):
    dependencies = [("billing", "0035_single_use_codes")]
    operations = [migrations.RunPython(replace, migrations.RunPython.noop)]
