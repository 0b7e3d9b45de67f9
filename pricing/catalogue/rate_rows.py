"""Rates between the form of a catalogue file and the stored one.

Invariant: `table_of` and `checked` are inverse to each other: a stored rate, written as in a file and read
again, is the same rate. What `checked` accepts is what a file may say.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from core.amounts import plain
from pricing.catalogue import schema
from pricing.catalogue.cache import ServiceFacts
from pricing.catalogue.rate_cards import Row
from pricing.rates.meters import PARTS
from pricing.rates.rate import Band, Option, RateLine, lines_as_json, options_as_json

Path = tuple[str | int, ...]


class RateInvalid(Exception):
    """A rate that no file may have. `problems`: the path of each field, and what is wrong with it."""

    def __init__(self, problems: list[tuple[Path, str]]) -> None:
        super().__init__("; ".join(sentence for _path, sentence in problems))
        self.problems = problems


def row_of(
    service: str,
    rate: schema.Rate,
    *,
    lines: Sequence[schema.RateLine],
    options: Mapping[str, schema.Option],
) -> Row:
    """The stored form, as an argument of rate_cards.set_rates. `lines` and `options`: those it refers to."""
    row: Row = {
        "service": service,
        "lines": lines_as_json(tuple(_line(line) for line in lines)),
        "options": options_as_json({name: _option(option) for name, option in options.items()}),
        "minimum": rate.minimum,
        "multiplier": rate.multiplier,
        "cost_of_model": rate.cost_of_model,
        "assumed": rate.assumed,
        "reason": rate.reason,
    }
    # Left out when empty, so that fingerprints are those of rates without a cost.
    return row | ({"cost": {meter: plain(cost) for meter, cost in rate.cost.items()}} if rate.cost else {})


def checked(service: ServiceFacts, table: Mapping[str, Any], *, modalities: Collection[str]) -> Row:
    """The stored form of a rate given as in a file; figures may be texts.

    `modalities`: those of the models. Raises RateInvalid.
    """
    try:
        rate = schema.Rate.model_validate(table)
    except ValidationError as error:
        raise RateInvalid(
            [(tuple(detail["loc"]), schema.expected(detail)) for detail in error.errors(include_url=False)]
        ) from error
    if rate.cost_of_model and (
        objection := cost_of_model_objection(service.kind, service.modality, modalities)
    ):
        raise RateInvalid([(("cost_of_model",), objection)])
    return row_of(service.key, rate, lines=rate.lines, options=rate.options)


def cost_of_model_objection(kind: str, modality: str, modalities: Collection[str]) -> str:
    """What a service that costs what its model costs would have to be; empty if it can.

    `modalities`: those of the models.
    """
    if kind != "action":
        return 'an action (kind = "action"); a model has its own price'
    if modality not in modalities:
        return f"a model of modality {modality!r} in this catalogue for the action to cost"
    return ""


def table_of(row: Row) -> dict[str, Any]:
    """A stored rate as in a file; fields with their default are left out."""
    table: dict[str, Any] = {}
    if row["lines"]:
        table["lines"] = [_line_table(line) for line in row["lines"]]
    if row["multiplier"] != 1:
        table["multiplier"] = row["multiplier"]
    if row["minimum"]:
        table["minimum"] = row["minimum"]
    if row["cost_of_model"]:
        table["cost_of_model"] = True
    if row["options"]:
        table["options"] = {name: option_table(option) for name, option in row["options"].items()}
    if row.get("cost"):
        table["cost"] = dict(row["cost"])
    if row["assumed"]:
        table["assumed"] = True
    if row["reason"]:
        table["reason"] = row["reason"]
    return table


def option_table(stored: Mapping[str, Any]) -> dict[str, Any]:
    """A stored option as in a file."""
    if stored["multipliers"] is None:
        return {"effect": False}
    return {"multipliers": dict(stored["multipliers"]), "default": stored["default"]}


def _line_table(line: Mapping[str, Any]) -> dict[str, Any]:
    table: dict[str, Any] = {"meter": line["meter"]}
    bands = line["bands"]
    if len(bands) == 1:
        table["credits"] = bands[0]["credits"]
    else:
        table["bands"] = [
            {name: value for name, value in band.items() if value is not None} for band in bands
        ]
    if line["per"] != 1:
        table["per"] = line["per"]
    if line["whole_blocks"]:
        table["whole_blocks"] = True
    if also := without_parts(line["meter"], line["also"]):
        table["also"] = also
    return table


def without_parts(meter: str, also: Iterable[str]) -> list[str]:
    """The meters of `also` that a line of this meter does not accept anyway."""
    return [name for name in also if name not in PARTS.get(meter, ())]


def _line(line: schema.RateLine) -> RateLine:
    return RateLine(
        meter=line.meter,
        bands=tuple(Band(up_to, credits) for up_to, credits in line.steps),
        per=line.per,
        whole_blocks=line.whole_blocks,
        also=tuple(dict.fromkeys(line.accepts)),
    )


def _option(option: schema.Option) -> Option:
    return Option(multipliers=option.multipliers if option.effect else None, default=option.default)


def as_text(row: Row) -> dict[str, Any]:
    """The row for the audit log, without its cost, which staff do not change."""
    texts = {name: plain(row[name]) for name in ("minimum", "multiplier")}
    return {name: value for name, value in (row | texts).items() if name != "cost"}


def figures(table: Mapping[str, Any]) -> dict[str, Any]:
    """The table of a rate with numbers in place of the texts of the database."""
    return {name: _figure(name, value) for name, value in table.items()}


def _figure(name: str, value: Any) -> Any:
    if name in ("credits", "minimum", "multiplier"):
        return Decimal(plain(Decimal(value)))
    if name in ("cost", "multipliers"):
        return {key: Decimal(plain(Decimal(one))) for key, one in value.items()}
    if isinstance(value, Mapping):
        return figures(value) if name != "options" else {key: figures(one) for key, one in value.items()}
    if name in ("lines", "bands"):
        return [figures(one) for one in value]
    return value
