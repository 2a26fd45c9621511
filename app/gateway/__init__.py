"""The DICOM gateway: photos from archives to the server, answers back to archives. A separate process.

    peer --C-STORE, STOW-RS--> queue on disk --> screening (the server's HTTP API) --> queue --> delivery --> archives

What was confirmed to a peer survives a crash: it is on disk before, and leaves it only once its answers are there, and
these only once an archive has confirmed them. The modules import pynetdicom, of the extra `dicom`.
"""

from importlib.util import find_spec

from app.errors import SettingsError

EXTRA = "dicom"


def require_extra() -> None:
    """Raise SettingsError if the packages that speak to archives are not installed."""
    missing = [package for package in ("pydicom", "pynetdicom") if find_spec(package) is None]
    if missing:
        raise SettingsError(
            f"the gateway needs {', '.join(missing)}, not installed here; run: pip install 'caries-screen[{EXTRA}]'"
        )
