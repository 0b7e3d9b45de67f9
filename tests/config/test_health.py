import pytest
from django.test import Client

from config import health

pytestmark = pytest.mark.django_db


def test_healthz_answers_without_the_database(client: Client, django_assert_num_queries) -> None:
    with django_assert_num_queries(0):
        response = client.get("/healthz")
    assert response.status_code == 200


def test_readyz_names_worker_and_beat_while_nobody_has_heard_of_them(client: Client) -> None:
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["red"] == ["beat", "worker"]
    assert response.json()["checks"]["database"] == "ok"


def test_readyz_is_green_when_both_are_heard(client: Client) -> None:
    health.beat("worker")
    health.beat("beat")
    response = client.get("/readyz")
    assert response.json() == {
        "status": "ok",
        "red": [],
        "checks": {"database": "ok", "migrations": "ok", "worker": "ok", "beat": "ok"},
    }
