"""Monthly budgets, and the ledger's functions: a limit may be that of the whole account."""

import django.db.models.deletion
from django.db import migrations, models

import core.models
from billing.ledger import installation


class Migration(migrations.Migration):
    dependencies = [("accounts", "0007_language"), ("billing", "0029_mail_language")]
    operations = [
        migrations.CreateModel(
            name="MonthlyBudget",
            fields=[
                (
                    "account",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="monthly_budget",
                        serialize=False,
                        to="accounts.account",
                    ),
                ),
                ("credits", core.models.CreditsField()),
                ("pauses", models.BooleanField(help_text="Calls beyond the budget are refused.")),
                (
                    "month_ends_at",
                    models.DateTimeField(help_text="The month that `warn_at_percent` belongs to.", null=True),
                ),
                (
                    "warn_at_percent",
                    models.SmallIntegerField(
                        help_text="The next warning of that month; null: none is left.", null=True
                    ),
                ),
            ],
        ),
        migrations.AlterField(
            model_name="limit",
            name="kind",
            field=models.CharField(
                choices=[
                    ("account", "Account"),
                    ("project", "Project"),
                    ("member", "Member"),
                    ("key", "Key"),
                    ("quota", "Quota"),
                ],
                max_length=8,
            ),
        ),
        migrations.AlterField(
            model_name="limit",
            name="subject",
            field=models.CharField(
                help_text="The project's, member's or key's UUID, the quota's key, or account.",
                max_length=100,
            ),
        ),
        migrations.RunPython(installation.install, migrations.RunPython.noop),
    ]
