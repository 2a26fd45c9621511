"""Reviews: photos kept with what the detector and the readers said, until they train the next detector.

Its modules are imported only if `CARIES_REVIEWS` is set; the database needs the extra `reviews`.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from app.errors import SettingsError
from app.settings import Settings, variable

if TYPE_CHECKING:
    from app.reviews.store import ReviewStore

EXTRA = ("sqlalchemy", "alembic", "pg8000")


def require_extra() -> None:
    """Raise SettingsError if the packages of the extra `reviews` are not installed."""
    missing = [package for package in EXTRA if find_spec(package) is None]
    if missing:
        raise SettingsError(
            f"{variable('reviews')} needs {', '.join(missing)}, not installed here; run: pip install"
            " 'caries-screen[reviews]'"
        )


def open_store(settings: Settings, *, create: bool = True) -> ReviewStore:
    """The store that the settings name; a missing one is created, or refused.

    Raises:
        SettingsError: they name none, the extra `reviews` is not installed, or the URL cannot be used.
        ReviewStoreError: the store cannot be opened.
    """
    if settings.reviews is None:
        raise SettingsError(f"no review store is set; set {variable('reviews')} to a folder or a PostgreSQL database")
    require_extra()
    from app.reviews.store import ReviewStore

    return ReviewStore(settings.reviews, settings.reviews_blind, create=create)
