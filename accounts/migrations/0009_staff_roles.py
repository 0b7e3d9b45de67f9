"""The groups of the roles of staff. Their permissions are given after each migration (accounts.staff_roles)."""

from django.db import migrations

ROLES = ["support", "finance", "catalogue manager", "administrator"]


def make(apps, schema_editor):
    group = apps.get_model("auth", "Group")
    for name in ROLES:
        group.objects.get_or_create(name=name)


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0008_withdrawn_team_requests"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]
    operations = [migrations.RunPython(make, migrations.RunPython.noop)]
