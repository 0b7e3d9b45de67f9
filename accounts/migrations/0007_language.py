"""Languages: the choices of users, and the browsers' for those who have chosen none.

English was the only language of earlier releases, so that rows with "en" hold no choice.
"""

from django.db import migrations, models


def forget_defaults(apps, schema_editor):
    apps.get_model("accounts", "User").objects.filter(language="en").update(language="")


class Migration(migrations.Migration):
    dependencies = [("accounts", "0006_former_secrets")]
    operations = [
        migrations.AlterField(
            model_name="user",
            name="language",
            field=models.CharField(
                blank=True,
                choices=[("en", "English"), ("zh-hans", "简体中文")],
                db_default="",
                default="",
                help_text="Empty: that of the browser.",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="user",
            name="browser_language",
            field=models.CharField(
                db_default="en",
                default="en",
                editable=False,
                help_text="The language of the browser at the last sign-in.",
                max_length=10,
            ),
        ),
        migrations.RunPython(forget_defaults, migrations.RunPython.noop),
    ]
