"""The command `explore` on ten small rendered mouths."""

import json
import shutil
from html.parser import HTMLParser

import pytest

from training.cli import main


@pytest.fixture(scope="session")
def labelled(small_data, tmp_path_factory):
    """Ten small mouths, two of them in one group whose name looks like HTML."""
    folder = tmp_path_factory.mktemp("labelled") / "mouths & more"
    shutil.copytree(small_data, folder)
    lines = (folder / "folds.csv").read_text().splitlines()
    lines[1:3] = ["Folder_0001.jpg,<b>one</b>,0", "Folder_0002.jpg,<b>one</b>,0"]
    (folder / "folds.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="session")
def report(labelled, tmp_path_factory):
    out = tmp_path_factory.mktemp("explore")
    assert main(["explore", "--data", str(labelled), "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="session")
def facts(report):
    return json.loads((report / "explore.json").read_text())


VOID = {"meta", "img"}


class Page(HTMLParser):
    """Collects the references and the text of a page; fails if tags do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.tags: set[str] = set()
        self.ids: set[str] = set()
        self.alternatives: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes) -> None:
        self.tags.add(tag)
        self.references += [value for name, value in attributes if name in ("src", "href", "srcset", "data")]
        self.ids |= {value for name, value in attributes if name == "id"}
        if tag == "img":
            self.alternatives.append(dict(attributes)["alt"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        self.text += data + " "


@pytest.fixture(scope="session")
def page(report):
    return Page((report / "report.html").read_text())
