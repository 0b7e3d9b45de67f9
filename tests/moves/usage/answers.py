"""Answers of the API in the notation of the table.

201 charge 20 of pack 20                          POST /charges, a capture, or an item of a batch
201 charge 0 unlimited                            a covered charge: covered_by
201 charge 30 uncollected 5 of pack 25
201 hold 20 of pack 20        200 hold released
201 reversal 15 to pack 15
429 limit_reached limit project maximum 100 …     a problem: its code and members
again 201 …                                       marked as a replay
"""

from typing import Any, NamedTuple

from billing.models import Grant

COMMON = {"type", "title", "status", "detail", "code", "request_id", "ways_on", "errors"}


class Answer(NamedTuple):
    """The answer of one move: of its request, or of its item in a batch."""

    status: int
    is_replay: bool
    body: dict[str, Any]


def of_move(response: Any) -> Answer:
    body = response.json()
    if "data" not in body:
        return Answer(response.status_code, "Idempotent-Replayed" in response, body)
    [item] = [item for item in body["data"] if not _is_filler(item)]
    return Answer(item["status"], item.get("replayed", False), item.get("charge") or item["error"])


def in_words(answer: Answer) -> str:
    """The answer: its status, and what was made or the problem."""
    return f"{'again ' if answer.is_replay else ''}{answer.status} {_described(answer.body)}"


def _is_filler(item: dict[str, Any]) -> bool:
    return bool(item.get("charge", {}).get("conversation") == "filler")


def _described(body: dict[str, Any]) -> str:
    if "code" in body:
        return _problem(body)
    if body["id"].startswith("chg_"):
        parts = [f"charge {body['credits']}", body["covered_by"] or ""]
        parts.append(f"uncollected {body['uncollected']}" if body["uncollected"] != "0" else "")
        parts.append(_grants("of", body["drawn"]))
        return " ".join(part for part in parts if part)
    if body["id"].startswith("hold_"):
        if body["status"] != "held":
            return f"hold {body['status']}"
        return f"hold {body['credits']} {_grants('of', body['drawn'])}".strip()
    return f"reversal {body['credits']} {_grants('to', body['returned_to'])}".strip()


def _problem(body: dict[str, Any]) -> str:
    assert ("ways_on" in body) == (body["code"] == "insufficient_credits"), body
    parts = [body["code"]]
    parts += [f"{error['field']} {error['code']}" for error in body.get("errors", [])]
    parts += [f"{name} {value}" for name, value in body.items() if name not in COMMON]
    return " ".join(parts)


def _grants(word: str, parts: list[dict[str, str]]) -> str:
    labels = {grant.public_id: grant.label for grant in Grant.objects.all()}
    listed = ", ".join(f"{labels[part['grant']]} {part['credits']}" for part in parts)
    return f"{word} {listed}" if listed else ""
