"""Usage of AI providers' SDKs as meters of Refill.

`usage_of` accepts a response, the last chunk of a stream, or a usage object of the SDKs of OpenAI, Anthropic,
Google and LiteLLM, or the same as dictionaries. It reads their fields only; none of the SDKs is needed.

What the fields mean, and so how `cached_input_tokens` is not counted twice:
- OpenAI: `prompt_tokens` (chat) and `input_tokens` (responses) include `cached_tokens`.
  https://platform.openai.com/docs/guides/prompt-caching
- Anthropic: `input_tokens` excludes `cache_read_input_tokens` and `cache_creation_input_tokens`.
  https://docs.claude.com/en/docs/build-with-claude/prompt-caching
- Google: `prompt_token_count` includes `cached_content_token_count`; tokens of tool results and of thoughts
  are counted beside prompt and candidates. https://ai.google.dev/api/generate-content#UsageMetadata
Tokens written to a cache are input tokens: there is no meter for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from refill_client._decoding import quantity

METERS = frozenset(
    {
        "tokens",
        "input_tokens",
        "output_tokens",
        "cached_input_tokens",
        "image_tokens",
        "images",
        "seconds",
        "uses",
        "messages",
        "characters",
    }
)
Usage = Any
"""A mapping of meters and quantities, or an object of an SDK."""


def usage_of(thing: Usage, *, separate_cached: bool = True) -> dict[str, int | float]:
    """The meters and quantities of a response, chunk or usage object.

    With `separate_cached=False` cached tokens count as input tokens, for a service that does not price them
    separately. Raises ValueError when the object has no usage, such as a chunk that is not a stream's last.
    """
    if not is_sdk_object(thing):
        return {meter: quantity(value) for meter, value in thing.items()}
    counts = _counts(_usage_object(thing))
    return dict(counts if separate_cached or "cached_input_tokens" not in counts else without_cached(counts))


def is_sdk_object(thing: Usage) -> bool:
    """Whether `thing` has the form of an SDK, and not the meters of Refill."""
    return not isinstance(thing, Mapping) or not thing.keys() <= METERS


def without_cached(usage: Mapping[str, Any]) -> dict[str, Any]:
    """The usage with its cached tokens counted as input tokens."""
    rest = dict(usage)
    rest["input_tokens"] += rest.pop("cached_input_tokens")
    return rest


def _usage_object(thing: Any) -> Any:
    """The usage object of a response, or of an event that contains one (`response.completed` of OpenAI)."""
    for name in ("usage", "usage_metadata", "usageMetadata"):
        inner = _field(thing, name)
        if inner is not None:
            return inner
    response = _field(thing, "response")
    return thing if response is None else _usage_object(response)


def _counts(usage: Any) -> dict[str, int]:
    prompt = _count(usage, "prompt_tokens")
    if prompt is not None:
        cached = _count(_field(usage, "prompt_tokens_details"), "cached_tokens")
        return _meters(prompt - (cached or 0), _count(usage, "completion_tokens"), cached)
    prompt = _count(usage, "prompt_token_count", "promptTokenCount")
    if prompt is not None:
        cached = _count(usage, "cached_content_token_count", "cachedContentTokenCount")
        tools = _count(usage, "tool_use_prompt_token_count", "toolUsePromptTokenCount")
        thoughts = _count(usage, "thoughts_token_count", "thoughtsTokenCount")
        answer = _count(usage, "candidates_token_count", "candidatesTokenCount")
        return _meters(prompt - (cached or 0) + (tools or 0), (answer or 0) + (thoughts or 0), cached)
    entered = _count(usage, "input_tokens")
    if entered is None:
        raise ValueError(
            f"{type(usage).__name__} has no usage. Of a stream, give the last chunk (OpenAI:"
            " stream_options={'include_usage': True}) or the final message."
        )
    details = _field(usage, "input_tokens_details")
    if details is not None:
        cached = _count(details, "cached_tokens")
        return _meters(entered - (cached or 0), _count(usage, "output_tokens"), cached)
    written = _count(usage, "cache_creation_input_tokens")
    cached = _count(usage, "cache_read_input_tokens")
    return _meters(entered + (written or 0), _count(usage, "output_tokens"), cached)


def _meters(entered: int, output: int | None, cached: int | None) -> dict[str, int]:
    """Meters, without output tokens where the SDK has no such count, such as for embeddings."""
    counts = {"input_tokens": entered}
    if output is not None:
        counts["output_tokens"] = output
    if cached:
        counts["cached_input_tokens"] = cached
    return counts


def _field(thing: Any, name: str) -> Any:
    return thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)


def _count(thing: Any, *names: str) -> int | None:
    return next((int(value) for name in names if (value := _field(thing, name)) is not None), None)
