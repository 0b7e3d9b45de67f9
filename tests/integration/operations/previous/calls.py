"""Requests to the REST API and to pages, made by the code of the release in the current directory.

Run as a script there. It prints a JSON object: the status of each request by its name. It uses only what no
release may change: the API, a management command and pages.
"""

import io
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path.cwd()))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.test import Client  # noqa: E402

USE = {"account": "user-of-before", "service": "document-question", "usage": {"uses": 2}}
statuses: dict[str, int] = {}
answers: dict[str, dict] = {}  # type: ignore[type-arg]


def main() -> None:
    settings.ALLOWED_HOSTS = ["testserver"]
    secret = io.StringIO()
    call_command("issue_platform_key", name="the release before", stdout=secret, stderr=io.StringIO())
    api = Client(
        headers={"Authorization": f"Bearer {secret.getvalue().strip()}"}, raise_request_exception=False
    )

    def post(name: str, path: str, body: object) -> None:
        headers = {"Idempotency-Key": f"before-{name}"}
        response = api.post(f"/api/v1/{path}", body, content_type="application/json", headers=headers)
        statuses[name], answers[name] = response.status_code, response.json() if response.content else {}

    def get(name: str, path: str) -> None:
        statuses[name] = api.get(f"/api/v1/{path}?account=user-of-before").status_code

    post("account", "accounts", {"external_id": "user-of-before", "name": "Ada"})
    post(
        "grant",
        f"accounts/{answers['account']['id']}/grants",
        {"credits": "1000", "kind": "bonus", "reason": "test"},
    )
    post("project", "projects", {"account": "user-of-before", "name": "site", "daily_limit": "500"})
    post("charge", "charges", USE | {"project": answers["project"]["id"]})
    post("batch", "charges/batch", {"data": [USE | {"idempotency_key": f"b{n}"} for n in range(3)]})
    post("reversal", f"charges/{answers['charge']['id']}/reversals", {"reason": "test"})
    post("hold", "holds", USE)
    post("capture", f"holds/{answers['hold']['id']}/capture", {"usage": {"uses": 1}})
    post("second-hold", "holds", USE)
    post("release", f"holds/{answers['second-hold']['id']}/release", {})
    for name in ("balance", "transactions", "charges", "grants", "usage", "services", "holds", "projects"):
        get(f"read {name}", name)
    visitor = Client(raise_request_exception=False)
    statuses["sign-up page"] = visitor.get("/accounts/signup/").status_code
    visitor.post(
        "/accounts/signup/",
        {
            "email": "before@example.org",
            "password1": "correct horse battery",
            "password2": "correct horse battery",
        },
    )
    from django.contrib.auth import get_user_model

    user = get_user_model().objects.get(email="before@example.org")
    visitor.force_login(user, backend=settings.AUTHENTICATION_BACKENDS[-1])
    for page in ("/", "/billing/", "/usage/", "/history/", "/settings/"):
        response = visitor.get(page)
        statuses[f"page {page}"] = response.status_code
    print(json.dumps({"statuses": statuses, "errors": {n: a for n, a in answers.items() if "detail" in a}}))


main()
