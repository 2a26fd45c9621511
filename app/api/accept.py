"""Accept headers: what a client takes, and how gladly (RFC 9110, section 12.4.2)."""

import math
from collections.abc import Sequence


def qualities(header: str) -> dict[str, float]:
    """Each listed value in lower case, with its quality from 0 to 1.

    Other parameters than q, and values with an invalid q, are ignored.
    """
    found: dict[str, float] = {}
    for part in header.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                try:
                    quality = float(value)
                except ValueError:
                    quality = math.nan
        if name and 0 <= quality <= 1:
            found[name] = max(quality, found.get(name, 0.0))
    return found


def prefers_korean(headers: Sequence[str]) -> bool:
    """Whether these `Accept-Language` headers rank Korean above English."""
    best = {"ko": 0.0, "en": 0.0}
    for tag, quality in qualities(", ".join(headers)).items():
        language = tag.partition("-")[0]
        if language in best:
            best[language] = max(quality, best[language])
    return best["ko"] > best["en"]
