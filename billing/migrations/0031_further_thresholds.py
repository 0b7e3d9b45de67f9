"""Further thresholds of low-credit alerts."""

import django.contrib.postgres.fields
from django.db import migrations, models

import core.models


class Migration(migrations.Migration):
    dependencies = [("billing", "0030_monthly_budgets")]
    operations = [
        migrations.AddField(
            model_name="alertsettings",
            name="also_below",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=core.models.CreditsField(),
                blank=True,
                default=list,
                help_text="Further thresholds, each with an e-mail.",
                size=None,
            ),
        ),
        migrations.AddField(
            model_name="alertsettings",
            name="passed",
            field=models.SmallIntegerField(
                db_default=0,
                default=0,
                help_text="How many of the further thresholds the balance is below.",
            ),
        ),
    ]
