"""Cursors are signed, bound to their list, and exact for rows with the same time."""

from datetime import UTC, datetime
from typing import Any

import pytest

from core.models import KeptAnswer
from core.pagination import page
from core.problems import Problem

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def rows(db: None) -> Any:
    """Seven rows with the same time, which differ only in the second key."""
    for number in range(7):
        KeptAnswer.objects.create(
            owner="00000000-0000-0000-0000-000000000001",
            endpoint="/x",
            key=str(number),
            fingerprint=b"",
            status=200,
            body="",
            created_at=AT,
        )
    return KeptAnswer.objects.all()


def pages(rows: Any, limit: int) -> list[list[str]]:
    result, query = [], {"limit": limit}
    while True:
        response = page(rows, query, keys=("created_at", "id"), build=lambda row: {"key": row.key})
        result.append([row["key"] for row in response["data"]])
        if not response["has_more"]:
            assert response["next_cursor"] is None
            return result
        query = {"limit": limit, "cursor": response["next_cursor"]}


def test_rows_with_the_same_time_are_neither_lost_nor_repeated(rows: Any) -> None:
    assert pages(rows, 3) == [["6", "5", "4"], ["3", "2", "1"], ["0"]]
    assert pages(rows, 7) == [["6", "5", "4", "3", "2", "1", "0"]]


@pytest.mark.fault("I4")
@pytest.mark.parametrize("cursor", ["", "x", "W10:x:y", "é", "a" * 500, "../../etc", "eyJhIjoxfQ:1:2"])
def test_a_cursor_without_a_valid_signature_is_refused(rows: Any, cursor: str) -> None:
    with pytest.raises(Problem) as refused:
        page(rows, {"limit": 2, "cursor": cursor}, keys=("created_at", "id"), build=dict)
    assert refused.value.errors[0]["field"] == "cursor"


@pytest.mark.fault("I4")
def test_a_tampered_cursor_is_refused(rows: Any) -> None:
    cursor = page(rows, {"limit": 2}, keys=("created_at", "id"), build=lambda _row: {})["next_cursor"]
    for index in (0, len(cursor) // 2, -1):
        letter = "A" if cursor[index] != "A" else "B"
        tampered = cursor[:index] + letter + (cursor[index + 1 :] if index != -1 else "")
        with pytest.raises(Problem):
            page(rows, {"limit": 2, "cursor": tampered}, keys=("created_at", "id"), build=dict)
