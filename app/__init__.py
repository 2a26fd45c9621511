"""Caries screening: the service that loads a trained tooth detector and answers questions about photos."""


def distribution_version() -> str:
    """Version of the installed distribution; `0+unknown` when the code runs without being installed."""
    from importlib.metadata import PackageNotFoundError, version  # slow to import

    try:
        return version("caries-screen")
    except PackageNotFoundError:
        return "0+unknown"
