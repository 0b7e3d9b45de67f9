"""Each response has the id of its request and the content security policy of its part of the site."""

import re

import pytest
from django.test import Client

from core import request_context


def test_a_request_id_of_the_client_is_kept(client: Client) -> None:
    response = client.get("/healthz", headers={"X-Request-Id": "job-81/retry=2"})
    assert response["X-Request-Id"] == "job-81/retry=2"


@pytest.mark.parametrize("offered", ["", "x" * 129, "a b", "a\tb", "<script>", "ü", "१"])
def test_an_invalid_request_id_is_replaced(client: Client, offered: str) -> None:
    assigned = client.get("/healthz", headers={"X-Request-Id": offered})["X-Request-Id"]
    assert assigned != offered and len(assigned) == 32


@pytest.mark.django_db
def test_the_log_line_of_a_refused_request_contains_its_id(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []
    caplog.handler.addFilter(lambda record: seen.append(request_context.request_id.get()) or True)
    client.get("/no-such-page", headers={"X-Request-Id": "lost-1"})
    assert seen == ["lost-1"]


def test_two_requests_have_two_ids(client: Client) -> None:
    assert client.get("/healthz")["X-Request-Id"] != client.get("/healthz")["X-Request-Id"]


@pytest.mark.fault("W7")
def test_the_portal_allows_no_inline_script_or_style(client: Client) -> None:
    policy = client.get("/healthz")["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert (
        "default-src 'none'" in policy
        and "script-src 'self'" in policy
        and "frame-ancestors 'none'" in policy
    )


@pytest.mark.django_db
def test_the_admin_has_its_own_policy_without_other_sites(client: Client) -> None:
    policy = client.get("/admin/")["Content-Security-Policy"]
    assert "script-src 'self' 'unsafe-eval' 'unsafe-inline'" in policy
    # of other sites only the tests' OpenID Connect provider, to which the form of its button leads
    assert re.findall(r"http[^ ;]*", policy) == ["http://127.0.0.1:1"]


@pytest.mark.fault("W3")
@pytest.mark.django_db
def test_a_forged_host_is_refused(client: Client) -> None:
    assert client.get("/accounts/login/", headers={"host": "evil.example"}).status_code == 400
