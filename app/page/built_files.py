"""The built page. `make page` builds it from `app/page/source`; serving it takes no Node."""

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "built"

PARTS = "page"
"""Folder of the files that `index.html` names. Their names contain a hash, so that they never change."""

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",  # the photos, which the page has as files
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""The page's Content-Security-Policy: no inline script, no inline style, nothing from elsewhere."""

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class PageFile:
    """A built file."""

    content: bytes
    media_type: str


def read_index() -> PageFile:
    """The page itself."""
    return _read(FOLDER / "index.html")


def read_part(name: str) -> PageFile | None:
    """The part with this file name; None if the page has none."""
    path = next((path for path in (FOLDER / PARTS).iterdir() if path.name == name), None)
    return None if path is None else _read(path)


def _read(path: Path) -> PageFile:
    return PageFile(path.read_bytes(), MEDIA_TYPES[path.suffix])
