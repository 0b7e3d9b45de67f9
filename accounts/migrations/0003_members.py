"""Members with a monthly limit and a public id, invitations, requests for teams; limits and expiry of API keys."""

from decimal import Decimal

import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import core.ids
import core.models

# Nothing refers to a membership, so that each can have another primary key.
IDS = """
alter table accounts_membership drop column id;
alter table accounts_membership add column id uuid not null default gen_random_uuid() primary key;
alter table accounts_membership alter column id drop default;
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_api_key_rates")]
    operations = [
        migrations.AddField(
            model_name="apikey",
            name="daily_limit",
            field=core.models.CreditsField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="apikey",
            name="expires_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="apikey",
            name="monthly_limit",
            field=core.models.CreditsField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="membership",
            name="monthly_limit",
            field=core.models.CreditsField(
                blank=True,
                help_text="Credits of a calendar month. Empty: no limit.",
                null=True,
                validators=[django.core.validators.MinValueValidator(Decimal("0.000001"))],
            ),
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(IDS, migrations.RunSQL.noop)],
            state_operations=[
                migrations.AlterField(
                    model_name="membership",
                    name="id",
                    field=models.UUIDField(
                        default=core.ids.new_id, editable=False, primary_key=True, serialize=False
                    ),
                )
            ],
        ),
        migrations.CreateModel(
            name="Invitation",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=core.ids.new_id, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("email", models.EmailField(help_text="Lower case.", max_length=254)),
                (
                    "role",
                    models.CharField(
                        choices=[("owner", "Owner"), ("billing", "Billing"), ("member", "Member")],
                        default="member",
                        max_length=10,
                    ),
                ),
                ("monthly_limit", core.models.CreditsField(blank=True, null=True)),
                ("created_at", models.DateTimeField(editable=False)),
                (
                    "sent",
                    models.PositiveSmallIntegerField(
                        default=1, help_text="E-mails; only the newest one is valid."
                    ),
                ),
                ("expires_at", models.DateTimeField()),
                ("accepted_at", models.DateTimeField(blank=True, null=True)),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="member_invitations",
                        to="accounts.account",
                    ),
                ),
                (
                    "invited_by",
                    models.ForeignKey(
                        help_text="Empty: the platform.",
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("accepted_at", None), ("revoked_at", None)),
                        fields=("account", "email"),
                        name="one_open_invitation_each",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="TeamRequest",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=core.ids.new_id, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "kind",
                    models.CharField(choices=[("family", "Family"), ("business", "Business")], max_length=10),
                ),
                ("name", models.CharField(max_length=200)),
                ("note", models.CharField(blank=True, max_length=2000)),
                (
                    "status",
                    models.CharField(
                        choices=[("open", "Open"), ("approved", "Approved"), ("declined", "Declined")],
                        default="open",
                        max_length=10,
                    ),
                ),
                ("answer", models.CharField(blank=True, max_length=2000)),
                ("created_at", models.DateTimeField(editable=False)),
                ("answered_at", models.DateTimeField(blank=True, null=True)),
                (
                    "account",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="team_request",
                        to="accounts.account",
                    ),
                ),
                (
                    "answered_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="team_requests",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("status", "open")),
                        fields=("user",),
                        name="one_open_team_request_each",
                    )
                ],
            },
        ),
    ]
