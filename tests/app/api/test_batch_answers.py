"""Answers to a batch that end early."""

import asyncio
from typing import Any

import pytest

from app.api.batch_answers import AsJson


def test_an_interrupted_answer_is_not_answered_again() -> None:
    async def receive() -> Any:
        raise TimeoutError

    async def cut_off(_: Any) -> None:
        raise TimeoutError

    writer = AsJson({"type": "http"}, receive, cut_off)
    assert not writer.begun
    with pytest.raises(TimeoutError):
        asyncio.run(writer.end())
    assert writer.begun
