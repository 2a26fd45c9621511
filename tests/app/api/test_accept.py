"""Accept headers."""

import pytest

from app.api.accept import prefers_korean, qualities


def test_qualities() -> None:
    assert qualities("text/html, Image/*;q=0.5,,*;q=0") == {"text/html": 1, "image/*": 0.5, "*": 0}
    assert qualities("a;level=1;q=0.2, a;q=0.7, b;q=2, c;q=x, ;q=1") == {"a": 0.7}


@pytest.mark.parametrize(
    ("headers", "korean"),
    [
        ([], False),
        (["*"], False),
        (["en"], False),
        (["ko"], True),
        (["ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7"], True),
        (["en-GB,en;q=0.9,ko;q=0.8"], False),
        (["fr, ko;q=0.3"], True),
        (["ko;q=0"], False),
        (["en;q=0.2", "KO;q=0.5"], True),
        (["kok"], False),
        (["ko, en"], False),
    ],
)
def test_korean_is_preferred_if_it_ranks_above_english(headers: list[str], korean: bool) -> None:
    assert prefers_korean(headers) is korean
