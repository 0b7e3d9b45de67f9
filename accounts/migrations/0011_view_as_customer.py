"""The permission to view the portal as a customer."""

from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0010_staff_notes'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='user',
            options={'permissions': [('view_as_customer', 'Can view the portal as a customer')], 'verbose_name': 'user', 'verbose_name_plural': 'users'},
        ),
    ]
