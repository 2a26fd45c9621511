"""Start Orthanc in a container: `orthanc.json` with the clinic's modalities, a password, and the gateway as `gateway`.

CARIES_MODALITIES names who may store photos: `NAME=TITLE@HOST:PORT`, separated by commas. The password of the user
`clinic` is created at the first start and shown in the log once.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import sys
from pathlib import Path
from typing import Any

CONFIGURATION = Path("/etc/orthanc/orthanc.json")
DATA = Path("/var/lib/orthanc")
USER, GATEWAY = "clinic", "gateway"


def modalities(text: str) -> dict[str, list[str | int]]:
    """The modalities that CARIES_MODALITIES names; exits with a message if it is not understood."""
    found: dict[str, list[str | int]] = {}
    for each in filter(None, re.split(r"[\s,]+", text)):
        parts = re.fullmatch(r"([A-Za-z0-9_-]+)=([A-Za-z0-9_.-]{1,16})@([A-Za-z0-9.-]+):([0-9]{1,5})", each)
        if not parts:
            sys.exit(f"CARIES_MODALITIES: {each!r} is not NAME=TITLE@HOST:PORT")
        found[parts[1]] = [parts[2], parts[3], int(parts[4])]
    return found


def password(file: Path) -> str:
    """The password in a file, which is created if it is missing."""
    if not file.exists():
        created = secrets.token_urlsafe(18)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(descriptor, created.encode())
        os.close(descriptor)
        print(f"Orthanc: the password of the user {USER} is {created}", file=sys.stderr, flush=True)
    return file.read_text(encoding="ascii")


def configuration(shipped: dict[str, Any], others: dict[str, list[str | int]], secret: str) -> dict[str, Any]:
    """The shipped configuration for a container."""
    title, _, port = shipped["DicomModalities"]["caries"]
    return {
        **shipped,
        "DicomModalities": {**others, "caries": [title, GATEWAY, port]},
        "RemoteAccessAllowed": True,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {USER: secret},
    }


def main() -> None:
    """Write the configuration and become Orthanc."""
    made = configuration(
        json.loads(CONFIGURATION.read_text(encoding="utf-8")),
        modalities(os.environ.get("CARIES_MODALITIES", "")),
        password(DATA / "password"),
    )
    path = Path("/tmp/orthanc.json")
    path.touch(mode=0o600)
    path.write_text(json.dumps(made), encoding="utf-8")
    os.execvp("Orthanc", ["Orthanc", str(path)])


if __name__ == "__main__":
    main()
