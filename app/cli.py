"""The `caries` command and its subcommands. What is heavy is imported by the subcommand that needs it."""

from __future__ import annotations

import argparse
import io
import logging
import os
import signal
import sys
from dataclasses import fields
from pathlib import Path

from app.detector.bundle import find_bundle, list_bundles, read_bundle
from app.errors import BundleError, CariesError, SettingsError
from app.records.key_file import KeyFile, Role
from app.screening import MAX_BOXES_LIMIT
from app.settings import Settings, describe, flag, variable

DETECT_SETTINGS = ("model_store", "model", "model_version", "runtime", "precision", "threads")
"""The settings that `caries detect` has flags for."""


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; the exit status: 0 done, 1 something failed, 2 the command line or a setting is wrong."""
    parsed = _parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names of files and folders may hold what the output's encoding does not.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status: int = parsed.run(parsed)
    except SettingsError as error:
        print(f"caries: {error}", file=sys.stderr)
        return 2
    except CariesError as error:
        print(f"caries: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever reads the output, such as head, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("caries: stopped", file=sys.stderr)
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="caries", description="Screens photos of teeth for caries. Not a medical device."
    )
    parser.add_argument("--version", action=_ShowVersion, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="start the server")
    _add_settings(serve, [entry.name for entry in fields(Settings)])
    serve.set_defaults(run=_serve)

    detect = commands.add_parser("detect", help="screen photos without a server")
    detect.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="a photo, or a folder of photos")
    detect.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    detect.add_argument("--threshold", type=_threshold, help="lowest score shown, 0 to 1 (default: the model's own)")
    detect.add_argument(
        "--max-boxes", type=_max_boxes, help=f"boxes shown at most, 1 to {MAX_BOXES_LIMIT} (default: the model's own)"
    )
    detect.add_argument("--classes", choices=("caries", "all"), default="caries", help="which classes are shown")
    detect.add_argument("--lang", choices=("en", "ko"), default="en", help="language of the labels")
    detect.add_argument("--format", choices=("png", "jpeg", "webp"), default="png", help="of the annotated photos")
    detect.add_argument("--json", action="store_true", help="print the answer for each photo as a line of JSON")
    _add_settings(detect, DETECT_SETTINGS)
    detect.set_defaults(run=_detect)

    models = commands.add_parser("models", help="list the models of the store")
    _add_settings(models, ("model_store", "model", "model_version"))
    models.set_defaults(run=_models)

    health = commands.add_parser("health", help="exit status 0 if the server of this machine takes photos")
    _add_settings(health, ("host", "port"))
    health.set_defaults(run=_health)

    keys = commands.add_parser("keys", help="add, list and revoke API keys")
    actions = keys.add_subparsers(required=True, metavar="ACTION")
    add = actions.add_parser("add", help="make a key and print it, once")
    add.add_argument("--name", required=True, help="who uses it, such as the program or the room")
    add.add_argument(
        "--role", choices=[role.value for role in Role], default="detect", help="admin may do all (default: detect)"
    )
    add.set_defaults(run=_add_key)
    listing = actions.add_parser("list", help="list the keys: id, role, when it was made, name")
    listing.set_defaults(run=_list_keys)
    revoke = actions.add_parser("revoke", help="take a key out of force at once")
    revoke.add_argument("key", metavar="ID_OR_NAME")
    revoke.set_defaults(run=_revoke_key)
    for action in (add, listing, revoke):
        _add_settings(action, ("keys",))

    audit = commands.add_parser("audit", help="check the audit log")
    checks = audit.add_subparsers(required=True, metavar="ACTION")
    verify = checks.add_parser("verify", help="find lines that were changed, removed, inserted or moved")
    verify.add_argument("--noted", metavar="SHA256", help="a hash that an earlier verification printed")
    _add_settings(verify, ("audit",))
    verify.set_defaults(run=_verify_audit)

    backup = commands.add_parser("backup", help="write the API keys and the audit log to standard output, as tar")
    _add_settings(backup, ("keys", "audit"))
    backup.set_defaults(run=_backup)

    settings = commands.add_parser("settings", help="list the settings and what they are set to")
    settings.set_defaults(run=_settings)
    return parser


class _ShowVersion(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"caries {version('caries-screen')}")
        except PackageNotFoundError:
            print("caries 0+unknown")
        parser.exit()


def _add_settings(parser: argparse.ArgumentParser, names: tuple[str, ...] | list[str]) -> None:
    group = parser.add_argument_group("settings", "each overrides its environment variable")
    for entry in fields(Settings):
        if entry.name in names:
            text = f"{entry.metadata['sentence']} {variable(entry.name)}"
            group.add_argument(f"--{flag(entry.name)}", dest=f"set_{entry.name}", metavar="VALUE", help=text)


def _read_settings(parsed: argparse.Namespace) -> Settings:
    flags = {entry.name: getattr(parsed, f"set_{entry.name}", None) for entry in fields(Settings)}
    return Settings.read(os.environ, flags)


def _threshold(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not within 0 to 1")
    return value


def _max_boxes(text: str) -> int:
    value = int(text)
    if not 1 <= value <= MAX_BOXES_LIMIT:
        raise argparse.ArgumentTypeError(f"{text} is not within 1 to {MAX_BOXES_LIMIT}")
    return value


def _serve(parsed: argparse.Namespace) -> int:
    # Of a container's first process the kernel drops signals without a handler, and what follows takes a while.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    settings = _read_settings(parsed)
    settings.check_exposure()
    if settings.keys is not None and (key := KeyFile(settings.keys).add_first()) is not None:
        # Not logged: logs are kept, and this is the one time that the key is shown.
        print(
            f"caries: {settings.keys} is made with one admin key, shown only here: {key}", file=sys.stderr, flush=True
        )
    from app.process.logs import configure
    from app.process.memory import keep_out_of_core_dumps, return_large_blocks

    keep_out_of_core_dumps()
    return_large_blocks()
    configure(settings.log_level, settings.log_format)
    from app.api import create_app
    from app.api.server import make_server

    failed = False

    def stop() -> None:
        nonlocal failed
        failed = True
        server.should_exit = True

    server = make_server(create_app(settings, on_failure=stop))
    # The server raises the signal that ended it once more when it is done; having been asked to stop is no failure.
    signal.signal(signal.SIGTERM, lambda *_: setattr(server, "should_exit", True))
    server.run()
    return 1 if failed or not server.started else 0


def _detect(parsed: argparse.Namespace) -> int:
    settings = _read_settings(parsed)
    logging.basicConfig(level="WARNING", format="caries: %(message)s")
    from app.detect_folder import detect_photos
    from app.process.memory import keep_out_of_core_dumps
    from app.screen_photo import Options
    from app.screening import ClassSelection

    keep_out_of_core_dumps()
    options = Options(
        threshold=parsed.threshold,
        max_boxes=parsed.max_boxes,
        classes=ClassSelection(parsed.classes),
        lang=parsed.lang,
        media_type=f"image/{parsed.format}",  # type: ignore[arg-type]
    )
    failures = detect_photos(parsed.photos, parsed.out, options, settings, print_json=parsed.json)
    if failures:
        print(f"caries: {len(failures)} failed:", file=sys.stderr)
        for path, reason in failures:
            print(f"  {path}: {reason}", file=sys.stderr)
    return 1 if failures else 0


def _models(parsed: argparse.Namespace) -> int:
    settings = _read_settings(parsed)
    live = find_bundle(settings.model_store, settings.model, settings.model_version)
    for name, version, path in list_bundles(settings.model_store):
        mark = "*" if path == live else " "
        try:
            point = read_bundle(path, verify=False).operating_point
            text = f"threshold {point.score_threshold:g}, sensitivity {_figure(point.sensitivity)}, "
            text += f"false positives per image {_figure(point.false_positives_per_image)}"
        except BundleError as error:
            text = f"unusable: {error}"
        print(f"{mark} {name} {version}  {text}  {path}")
    print("* is the one that is served")
    return 0


def _figure(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.2f}"


def _health(parsed: argparse.Namespace) -> int:
    from http.client import HTTPConnection, HTTPException

    settings = _read_settings(parsed)
    # A server that listens on every address listens on the loopback one as well.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    connection = HTTPConnection(host, settings.port, timeout=4)
    try:
        connection.request("GET", "/health/ready")
        answer = connection.getresponse()
        print(answer.read().decode("utf-8", "replace"))
    except (OSError, HTTPException) as error:
        print(f"caries: no answer from {host}:{settings.port}: {error}", file=sys.stderr)
        return 1
    finally:
        connection.close()
    return 0 if answer.status == 200 else 1


def _key_file(parsed: argparse.Namespace) -> KeyFile:
    path = _read_settings(parsed).keys
    if path is None:
        raise SettingsError(f"no file of API keys is set; give --keys FILE or set {variable('keys')}")
    return KeyFile(path)


def _add_key(parsed: argparse.Namespace) -> int:
    entry, key = _key_file(parsed).add(parsed.name, Role(parsed.role))
    print(f"caries: key {entry.id} with the role {entry.role} for {entry.name}, shown only here:", file=sys.stderr)
    print(key)
    return 0


def _list_keys(parsed: argparse.Namespace) -> int:
    for key in _key_file(parsed).read().values():
        print(f"{key.id}  {key.role:6}  {key.created:%Y-%m-%d %H:%M} UTC  {key.name}")
    return 0


def _revoke_key(parsed: argparse.Namespace) -> int:
    key = _key_file(parsed).revoke(parsed.key)
    print(f"caries: key {key.id} of {key.name} is revoked", file=sys.stderr)
    return 0


def _verify_audit(parsed: argparse.Namespace) -> int:
    from app.records.audit import verify

    folder = _read_settings(parsed).audit
    if folder is None:
        raise SettingsError(f"no audit log is set; give --audit FOLDER or set {variable('audit')}")
    found = verify(folder, noted=parsed.noted)
    for note in found.notes:
        print(f"caries: {note}", file=sys.stderr)
    for finding in found.findings:
        print(f"caries: {finding}", file=sys.stderr)
    state = "broken" if found.findings else "unbroken"
    print(f"{found.lines} lines, {found.first} to {found.last.seq}, {state}; the last has the hash {found.last.sha256}")
    return 1 if found.findings else 0


def _backup(parsed: argparse.Namespace) -> int:
    from app.records.backup import write_backup

    settings = _read_settings(parsed)
    if settings.keys is None and settings.audit is None:
        raise SettingsError(f"there is nothing to back up; set {variable('keys')} or {variable('audit')}")
    if sys.stdout.isatty():
        raise SettingsError("the backup is no text for a terminal; send standard output to a file")
    files = write_backup(sys.stdout.buffer, keys=settings.keys, audit=settings.audit)
    print(f"caries: the backup holds {files} files", file=sys.stderr)
    return 0


def _settings(_: argparse.Namespace) -> int:
    print(describe(Settings.read(os.environ)))
    return 0
