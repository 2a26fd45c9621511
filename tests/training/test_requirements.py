from pathlib import Path

import pytest

from tests.conftest import needs_training
from training import requirements
from training.requirements import (
    LOCKED,
    LOCKED_WITHOUT_DEPENDENCIES,
    WITHOUT_DEPENDENCIES,
    Requirement,
    satisfies,
    split_requirement,
    training_requirements,
)

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize(
    ("version", "versions", "allowed"),
    [
        ("2.21.0", "==2.21.0", True),
        ("2.21", "==2.21.0", True),
        ("2.20.1", "==2.21.0", False),
        ("79.0.1", "<80", True),
        ("80", "<80", False),
        ("80.9.0", "<80", False),
        ("2.10", ">=2.9", True),
        ("1.4.0", ">=1.4,<1.5", True),
        ("1.5.0", ">=1.4,<1.5", False),
        ("2.0.0rc1", ">=2.0", True),
        ("1.4.9", "~=1.4.2", True),
        ("1.5.0", "~=1.4.2", False),
        ("1.0", "!=1.0", False),
        ("5", "", True),
    ],
)
def test_versions_are_compared_by_number(version, versions, allowed) -> None:
    assert satisfies(version, versions) is allowed


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("numpy>=2.0", ("numpy", ">=2.0")),
        ("pi-heif<1.5,>=1.4", ("pi-heif", "<1.5,>=1.4")),
        ('tensorflow==2.21.0; extra == "training"', ("tensorflow", "==2.21.0")),
        ("tensorflow[and-cuda] == 2.21.0", ("tensorflow", "==2.21.0")),
        ("PyYAML", ("pyyaml", "")),
    ],
)
def test_requirements_are_split(text, parts) -> None:
    assert split_requirement(text) == parts


def test_an_unreadable_requirement_is_refused() -> None:
    with pytest.raises(ValueError, match="not a requirement"):
        split_requirement("==1")
    with pytest.raises(ValueError, match="not versions"):
        satisfies("1", "2")


def test_packages_without_dependencies_match_the_makefile() -> None:
    lines = (ROOT / "requirements" / "no-deps.txt").read_text().splitlines()
    assert tuple(line.split()[0] for line in lines if "==" in line and not line.startswith("#")) == WITHOUT_DEPENDENCIES
    makefile = (ROOT / "Makefile").read_text()
    for line in (LOCKED, LOCKED_WITHOUT_DEPENDENCIES):
        assert [word for word in line.split() if word not in makefile] == []


@needs_training
def test_every_declared_requirement_is_checked_and_installed() -> None:
    found = {requirement.name: requirement for requirement in training_requirements()}
    assert {"tensorflow", "tf-object-detection-api", "numpy", "pandas", "six", "tqdm", "setuptools"} <= found.keys()
    assert found.keys().isdisjoint({"fastapi", "uvicorn", "pytest", "wheel"})
    assert [name for name, requirement in found.items() if not requirement.met] == []


def test_outside_the_project_folder_metadata_and_single_commands_are_used(tmp_path, monkeypatch) -> None:
    in_folder = {requirement.name: requirement.versions for requirement in training_requirements()}
    monkeypatch.setattr(requirements, "ROOT", tmp_path)
    elsewhere = {requirement.name: requirement for requirement in training_requirements()}
    assert {"tensorflow", "tf-slim", "numpy"} <= elsewhere.keys()
    assert elsewhere["tf-slim"].versions == in_folder["tf-slim"]
    assert "pytest" not in elsewhere
    assert elsewhere["tf-keras"].line == "pip install 'tf-keras==2.21.0'"
    api = elsewhere["tf-object-detection-api"]
    assert api.line == "pip install --no-deps --no-build-isolation 'tf-object-detection-api==0.1'"


def test_another_version_than_allowed_does_not_meet_a_requirement() -> None:
    assert not Requirement("tf-keras", "==2.21.0", "2.20.0").met
    assert not Requirement("tf-keras", "==2.21.0", None).met
    assert Requirement("tf-keras", "==2.21.0", "2.21.0").met
