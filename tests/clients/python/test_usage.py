"""Usage objects of AI providers' SDKs as meters: cached tokens are counted once."""

from types import SimpleNamespace as Object
from typing import Any

import pytest
from refill_client import usage_of

CHAT = Object(
    prompt_tokens=2006,
    completion_tokens=300,
    total_tokens=2306,
    prompt_tokens_details=Object(cached_tokens=1920),
    completion_tokens_details=Object(reasoning_tokens=100),
)
RESPONSES = Object(
    input_tokens=2006,
    output_tokens=300,
    input_tokens_details=Object(cached_tokens=1920),
    output_tokens_details=Object(reasoning_tokens=100),
)
ANTHROPIC = Object(
    input_tokens=50, output_tokens=503, cache_read_input_tokens=100_000, cache_creation_input_tokens=200
)
GOOGLE = Object(
    prompt_token_count=2006,
    cached_content_token_count=1920,
    candidates_token_count=200,
    thoughts_token_count=100,
    tool_use_prompt_token_count=None,
    total_token_count=2306,
)
OPENAI_METERS = {"input_tokens": 86, "output_tokens": 300, "cached_input_tokens": 1920}


@pytest.mark.parametrize(
    ("thing", "meters"),
    [
        (Object(usage=CHAT), OPENAI_METERS),
        (Object(choices=[], usage=CHAT), OPENAI_METERS),  # the last chunk of a stream
        (CHAT, OPENAI_METERS),
        (Object(usage=RESPONSES), OPENAI_METERS),
        (Object(type="response.completed", response=Object(usage=RESPONSES)), OPENAI_METERS),
        (
            Object(usage=ANTHROPIC),
            {"input_tokens": 250, "output_tokens": 503, "cached_input_tokens": 100_000},
        ),
        (Object(usage_metadata=GOOGLE), OPENAI_METERS),
        (
            {
                "usageMetadata": {
                    "promptTokenCount": 10,
                    "candidatesTokenCount": 2,
                    "toolUsePromptTokenCount": 5,
                }
            },
            {"input_tokens": 15, "output_tokens": 2},
        ),
        ({"usage": {"prompt_tokens": 9, "total_tokens": 9}}, {"input_tokens": 9}),  # embeddings
        ({"input_tokens": 5, "output_tokens": 0}, {"input_tokens": 5, "output_tokens": 0}),
        ({"seconds": 1.5, "images": 2}, {"seconds": 1.5, "images": 2}),
    ],
)
def test_usage_of_an_sdk_becomes_meters(thing: Any, meters: dict[str, float]) -> None:
    assert usage_of(thing) == meters


def test_cached_tokens_can_count_as_input_tokens() -> None:
    assert usage_of(CHAT, separate_cached=False) == {"input_tokens": 2006, "output_tokens": 300}


@pytest.mark.parametrize(
    "thing", [Object(choices=[], usage=None), Object(type="response.created", response=Object(usage=None))]
)
def test_a_chunk_without_usage_is_an_error_and_not_a_use_of_nothing(thing: Any) -> None:
    with pytest.raises(ValueError, match="has no usage"):
        usage_of(thing)
