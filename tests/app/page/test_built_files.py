"""The files of the page."""

import gzip
import re

from app.page.built_files import FOLDER, MEDIA_TYPES, PARTS, POLICY, read_index, read_part

MAX_GZIP_BYTES = 150_000


def test_the_page_names_parts_that_exist_and_nothing_from_elsewhere() -> None:
    page = read_index()
    assert page.media_type == "text/html; charset=utf-8"
    text = page.content.decode()
    addresses = re.findall(r'(?:src|href)="([^"#]+)"', text)
    assert len(addresses) >= 3
    for address in addresses:
        assert address.startswith(f"./{PARTS}/"), address
        assert read_part(address.removeprefix(f"./{PARTS}/")) is not None
    assert not re.search(r"<script>|<style|\sstyle=|\son\w+=|javascript:", text)


def test_parts_are_named_after_their_content_and_have_a_media_type() -> None:
    names = [path.name for path in (FOLDER / PARTS).iterdir()]
    assert len(names) >= 4
    for name in names:
        assert re.fullmatch(r"[a-z]+-[\w-]{8}\.(js|css|svg)", name)
        part = read_part(name)
        assert part is not None
        assert part.media_type in MEDIA_TYPES.values()


def test_only_parts_are_read() -> None:
    for name in ("", ".", "..", "../index.html", "index.html", "/etc/passwd", "\0"):
        assert read_part(name) is None


def test_all_files_take_at_most_150_kilobytes_compressed() -> None:
    sizes = {
        path.name: len(gzip.compress(path.read_bytes(), 9, mtime=0)) for path in FOLDER.rglob("*") if path.is_file()
    }
    assert sum(sizes.values()) <= MAX_GZIP_BYTES, sizes


def test_the_policy_allows_nothing_unsafe() -> None:
    rules = dict(rule.split(" ", 1) for rule in POLICY.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert not re.search(r"unsafe|\*|https?:|data:", POLICY)


def test_the_licences_of_bundled_packages_are_with_the_page() -> None:
    text = (FOLDER / "licences.md").read_text(encoding="utf-8")
    for name in (
        "@annotorious/annotorious",
        "rbush",
        "quickselect",
        "dequal",
        "simplify-js",
        "uuid",
        "nanoid",
        "svelte",
    ):
        assert f"## {name}" in text
