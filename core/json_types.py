"""Types of the values in the API's responses.

Responses are declared as TypedDicts with these types. mypy checks the code that builds a response against
its declaration, and config.openapi derives the OpenAPI document from it. In `Annotated` a text is the
description, a Pattern is the form of a text, and a type (an enumeration, a Literal, an OpenApiTypes) is
what the document states.
"""

from dataclasses import dataclass
from typing import Annotated

from drf_spectacular.types import OpenApiTypes

from core.models import Identified

_PLAIN = r"(0|[1-9][0-9]{0,13})(\.[0-9]{0,5}[1-9])?"
TIME_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{6})?Z$"


@dataclass(frozen=True, slots=True)
class Pattern:
    """The form of a text, as a regular expression of JSON Schema."""

    regex: str


CreditsText = Annotated[
    str, "Credits in plain decimal notation, at most six decimals.", Pattern(f"^{_PLAIN}$")
]  # amounts.plain
SignedCreditsText = Annotated[str, Pattern(f"^-?{_PLAIN}$")]
TimeText = Annotated[str, OpenApiTypes.DATETIME, Pattern(TIME_PATTERN)]  # fields.instant
EmailText = Annotated[str, OpenApiTypes.EMAIL]
UrlText = Annotated[str, OpenApiTypes.URI]
CurrencyText = Annotated[str, "ISO 4217, lower case.", Pattern("^[a-z]{3}$")]


def id_of(model: type[Identified]) -> Pattern:
    """The form of the public ids of a model: `Annotated[str, id_of(Grant)]`."""
    return Pattern(f"^{model.PREFIX}_[0-9a-f]{{32}}$")
