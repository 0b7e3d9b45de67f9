"""Types of the values in the API's responses.

Responses are declared as TypedDicts with these types. mypy checks the code that builds a response against
its declaration, and config.openapi derives the OpenAPI document from it. In `Annotated` a text is the
description, and a type (an enumeration, a Literal, an OpenApiTypes) is what the document states.
"""

from typing import Annotated

from drf_spectacular.types import OpenApiTypes

CreditsText = Annotated[str, "Credits in plain decimal notation, at most six decimals."]  # amounts.plain
TimeText = Annotated[str, OpenApiTypes.DATETIME]  # fields.instant
EmailText = Annotated[str, OpenApiTypes.EMAIL]
