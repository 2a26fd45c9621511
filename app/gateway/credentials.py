"""Authorization for the DICOMweb services of archives, from a file that only its owner may read."""

from __future__ import annotations

import base64
import re
import stat
from pathlib import Path

from app.errors import SettingsError
from app.peers import is_web_root

_LINE = re.compile(r"(?P<url>\S+)\s+(?:basic\s+(?P<user>[^\s:]+)\s+(?P<password>\S+)|bearer\s+(?P<token>[!-~]+))")


def read_credentials(path: Path | None) -> dict[str, str]:
    """The header Authorization by the root of a DICOMweb service; none without a file.

    A line is `URL basic USER PASSWORD` or `URL bearer TOKEN`; empty lines and those that begin with # are skipped.

    Raises:
        SettingsError: the file cannot be read, others may read it, or a line is not understood. It repeats no line.
    """
    if path is None:
        return {}
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise SettingsError(f"{path} with passwords may be read by others; run: chmod 600 {path}")
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        raise SettingsError(f"{path} with passwords cannot be read: {type(error).__name__}") from None
    found: dict[str, str] = {}
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith("#"):
            continue
        parts = _LINE.fullmatch(line)
        if parts is None or not _is_root(parts["url"]):
            raise SettingsError(f"{path}, line {number}, is not URL basic USER PASSWORD or URL bearer TOKEN")
        if token := parts["token"]:
            value = f"Bearer {token}"
        else:
            value = "Basic " + base64.b64encode(f"{parts['user']}:{parts['password']}".encode()).decode()
        found[parts["url"].rstrip("/")] = value
    return found


def _is_root(url: str) -> bool:
    try:
        return is_web_root(url)
    except ValueError:
        return False
