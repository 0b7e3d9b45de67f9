"""Every secret that was replaced signs until its overlap ends, not only the last one; failures have a time."""

import django.db.models.deletion
from django.db import migrations, models


def keep(apps, schema_editor):
    """The secrets that may still sign."""
    FormerSecret = apps.get_model("accounts", "FormerSecret")
    replaced = apps.get_model("accounts", "WebhookEndpoint").objects.exclude(previous_until=None)
    FormerSecret.objects.bulk_create(
        FormerSecret(endpoint=one, secret=one.previous_secret, ends_at=one.previous_until) for one in replaced
    )


class Migration(migrations.Migration):
    dependencies = [("accounts", "0005_theme")]
    operations = [
        migrations.CreateModel(
            name="FormerSecret",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("secret", models.BinaryField(help_text="Encrypted.")),
                ("ends_at", models.DateTimeField()),
                (
                    "endpoint",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="former_secrets",
                        to="accounts.webhookendpoint",
                    ),
                ),
            ],
        ),
        migrations.RunPython(keep, migrations.RunPython.noop),
        migrations.RemoveField(model_name="webhookendpoint", name="previous_secret"),
        migrations.RemoveField(model_name="webhookendpoint", name="previous_until"),
        migrations.AddField(
            model_name="webhookendpoint",
            name="failed_at",
            field=models.DateTimeField(blank=True, help_text="The last failed attempt.", null=True),
        ),
    ]
