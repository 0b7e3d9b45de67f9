"""Columns of child holds and of what becomes of a hold at its end, and the ledger's functions that use them.

Earlier migrations install the functions too, which adds the columns before this one (00_types.sql).
"""

from django.db import migrations, models

from billing.ledger import installation

# Functions whose parameters or result have changed. An earlier migration may have installed the present one beside them.
FORMER = """select p.oid::regprocedure::text from pg_proc p where p.pronamespace = current_schema()::regnamespace
  and p.proname in ('ledger_hold', 'ledger_over_limit', 'ledger_capture_moves', 'ledger_due_moves')"""


def install(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(FORMER)
        former = [function for (function,) in cursor.fetchall()]
    installation.remove(schema_editor, former)
    installation.install(apps, schema_editor)


class Migration(migrations.Migration):
    dependencies = [("billing", "0022_purchase_changes")]
    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunPython(install, migrations.RunPython.noop)],
            state_operations=[
                migrations.AddField(
                    model_name="hold",
                    name="parent_id",
                    field=models.UUIDField(help_text="The hold from which it reserves.", null=True),
                ),
                migrations.AddField(
                    model_name="hold",
                    name="depth",
                    field=models.SmallIntegerField(db_default=1, help_text="1 without a parent."),
                ),
                migrations.AddField(
                    model_name="hold",
                    name="reserved",
                    field=models.JSONField(
                        help_text="What of `drawn` it still reserves itself; null when it never had a child.",
                        null=True,
                    ),
                ),
                migrations.AddField(
                    model_name="hold",
                    name="at_expiry",
                    field=models.CharField(
                        choices=[
                            ("release", "Release"),
                            ("capture_estimate", "Capture what is held"),
                            ("capture_reported", "Capture the reported usage"),
                        ],
                        db_default="release",
                        help_text="What becomes of it when nobody captures it.",
                        max_length=16,
                    ),
                ),
                migrations.AddField(
                    model_name="hold",
                    name="reported",
                    field=models.JSONField(
                        help_text="The usage last reported for it: {credits, detail, quota_count}.", null=True
                    ),
                ),
            ],
        ),
        migrations.AlterField(
            model_name="entry",
            name="kind",
            field=models.CharField(
                choices=[
                    ("grant", "Granted"),
                    ("charge", "Charged"),
                    ("reverse", "Returned"),
                    ("hold", "Held"),
                    ("release", "Released"),
                    ("transfer", "Moved between holds"),
                    ("expire", "Expired"),
                    ("claw_back", "Withdrawn"),
                    ("restore", "Restored"),
                    ("repay", "Debt repaid"),
                    ("carry_over", "Carried over"),
                    ("adjust", "Adjusted"),
                ],
                max_length=12,
            ),
        ),
    ]
