"""Texts of the catalogue in other languages; empty until a catalogue with translations is loaded."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("pricing", "0004_hold_ends")]
    operations = [
        migrations.AddField(
            model_name="catalogue",
            name="translations",
            field=models.JSONField(
                db_default={},
                default=dict,
                help_text='By language: {"zh-hans": {"Daily refresh": "每日刷新"}}.',
            ),
        ),
    ]
