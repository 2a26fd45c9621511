"""Build the root file system of an image with one Python environment, without shell and package manager.

    rootfs.py /root-cpu /opt/caries        during the build of an image, with that image's interpreter

It contains the interpreter with its standard library, the shared libraries that they and the environment link to, the
CA certificates, and the package manager's entry for each library, so that scanners find vulnerable versions.
"""

from __future__ import annotations

import compileall
import os
import py_compile
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

EXCLUDED = (
    "test", "idlelib", "ensurepip", "lib2to3", "tkinter", "turtledemo", "pydoc_data", "config-*", "dist-packages",
)  # fmt: skip
"""Unused parts of the standard library, and the packages of the system."""

OPENED_BY_NAME = ("libgcc_s.so.1", "libnss_dns.so.2", "libnss_files.so.2")
"""Libraries that glibc opens at run time."""

FILES = ("/etc/os-release", "/etc/ssl/openssl.cnf", "/etc/ssl/certs/ca-certificates.crt", "/etc/ld.so.cache")

PASSWD = """root:x:0:0:root:/nonexistent:/nonexistent
caries:x:10001:10001::/nonexistent:/nonexistent
"""
GROUP = """root:x:0:
caries:x:10001:
"""


def place(root: Path, path: Path) -> None:
    """Copy a file to the same path below `root`, with every symbolic link on that path."""
    for parent in reversed(path.parents[:-1]):
        if parent.is_symlink():
            place_link(root, parent)
            return place(root, parent.resolve() / path.relative_to(parent))
    if path.is_symlink():
        place_link(root, path)
        return place(root, Path(os.path.normpath(path.parent / path.readlink())))
    target = root / path.relative_to("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        shutil.copy2(path, target)
    return None


def place_link(root: Path, link: Path) -> None:
    """Copy a symbolic link to the same path below `root`."""
    target = root / link.relative_to("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.is_symlink():
        target.symlink_to(link.readlink())


def libraries(files: list[Path]) -> set[Path]:
    """The shared libraries that files link to, directly or not, and the loader."""
    found = set()
    for file in files:
        listed = subprocess.run(["ldd", str(file)], capture_output=True, text=True, check=False).stdout
        found |= {Path(path) for path in re.findall(r"(/\S+) \(0x", listed)}
    return found


def owners(files: set[Path]) -> set[str]:
    """The Debian packages of files; dpkg may know a file by its path from before /usr was merged."""
    names = {str(place) for file in files for place in (file, file.resolve())}
    names |= {name.removeprefix("/usr") for name in names}
    command = ["dpkg-query", "--search", *sorted(names)]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return {package for line in listed.splitlines() for package in line.split(": /")[0].split(", ")}


def main() -> None:
    """Fill the folder of the first argument for the environment of the second one."""
    root, environment = Path(sys.argv[1]), Path(sys.argv[2])
    library = Path(sysconfig.get_path("stdlib"))
    shutil.copytree(
        library,
        root / library.relative_to("/"),
        symlinks=True,
        ignore=shutil.ignore_patterns("__pycache__", "site-packages", *EXCLUDED),
    )
    shutil.copytree(environment, root / environment.relative_to("/"), symlinks=True)
    python = environment / "bin" / "python"
    place(root, Path(os.path.normpath(python.parent / python.readlink())))
    linked = [Path(sys.executable).resolve(), *library.rglob("*.so"), *environment.rglob("*.so*")]
    needed = {path for path in libraries(linked) if not path.is_relative_to(environment)}
    folders = {path.parent for path in needed}
    needed |= {folder / name for folder in folders for name in OPENED_BY_NAME if (folder / name).exists()}
    for path in (*needed, *(Path(name) for name in FILES if Path(name).exists())):
        place(root, path)
    compileall.compile_dir(
        root / library.relative_to("/"),
        quiet=1,
        stripdir=str(root),
        prependdir="/",
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    for package in owners(needed):
        status = root / "var/lib/dpkg/status.d" / package.partition(":")[0]
        status.parent.mkdir(parents=True, exist_ok=True)
        status.write_text(subprocess.check_output(["dpkg-query", "--status", package], text=True), encoding="utf-8")
    (root / "etc/passwd").write_text(PASSWD, encoding="ascii")
    (root / "etc/group").write_text(GROUP, encoding="ascii")
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    epoch = int(os.environ["SOURCE_DATE_EPOCH"])
    for path in (root, *root.rglob("*")):
        os.utime(path, (epoch, epoch), follow_symlinks=False)


if __name__ == "__main__":
    main()
