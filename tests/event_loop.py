"""Coroutines of tests, in an event loop of their own.

Invariant: a loop runs in a thread of its own, because the main thread has the loop of the browser tests
(Playwright's synchronous API) as soon as one of them has run in the same process.
"""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Result = TypeVar("Result")


def run(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run the coroutine to its end and return its result, or raise its error."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()
