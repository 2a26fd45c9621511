"""The `caries` command and its subcommands. Heavy modules are imported by the subcommand that needs them."""

from __future__ import annotations

import argparse
import io
import logging
import os
import re
import signal
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from app import distribution_version
from app.detector.bundle import find_bundle, list_bundles, read_bundle
from app.errors import AuditError, BundleError, CariesError, OutputError, SettingsError
from app.peers import is_web_root
from app.photo.formats import MEDIA_TYPES
from app.records.key_file import KeyFile, Role
from app.screening import MAX_BOXES_BOUNDS, THRESHOLD_BOUNDS
from app.settings import LogFormat, Settings, describe, flag, variable

if TYPE_CHECKING:
    from app.gateway.queue import Queue

    _Commands = argparse._SubParsersAction[argparse.ArgumentParser]

DETECT_SETTINGS = ("model_store", "model", "model_version", "operating_point", "runtime", "precision", "threads")
"""The settings with a flag of `caries detect`."""

GATEWAY_ONLY = tuple(entry.name for entry in fields(Settings) if entry.name.startswith("gateway"))
"""The settings of the DICOM gateway alone."""

GATEWAY_SETTINGS = (
    "keys",
    "max_bytes",
    "batch_bytes",
    "audit",
    "audit_bytes",
    "audit_fsync",
    "log_format",
    "log_level",
)
"""The other settings with a flag of `caries gateway run`."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command. Exit status: 0 done, 1 a failure, 2 a wrong command line or setting, 130 interrupted."""
    parsed = _parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # File names can contain what the output's encoding does not.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status: int = parsed.run(parsed)
    except SettingsError as error:
        print(f"caries: {error}", file=sys.stderr)
        return 2
    except CariesError as error:
        print(f"caries: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of the output, such as head, has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("caries: interrupted", file=sys.stderr)
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="caries", description="Screens photos of teeth for caries. Not a medical device."
    )
    parser.add_argument("--version", action=_ShowVersion, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    names = [entry.name for entry in fields(Settings)]
    _add_command(commands, "serve", _serve, "start the server", [name for name in names if name not in GATEWAY_ONLY])

    detect = _add_command(commands, "detect", _detect, "screen photos without a server", DETECT_SETTINGS)
    text = (
        "a photo, or a folder of photos; with --ray also a zip archive, a pattern or a URL such as s3://bucket/folder"
    )
    detect.add_argument("photos", nargs="+", metavar="PHOTO", help=text)
    detect.add_argument("--out", required=True, metavar="DIR", help="folder for the results; with --ray also a URL")
    text = "screen on the Ray cluster at HOST:PORT, auto or local, and write Parquet; rerun to resume"
    detect.add_argument("--ray", metavar="ADDRESS", help=text)
    detect.add_argument(
        "--threshold", type=_threshold, help="lowest score shown, 0 to 1 (default: that of the operating point)"
    )
    text = f"most boxes shown, {MAX_BOXES_BOUNDS} (default: the model's)"
    detect.add_argument("--max-boxes", type=_max_boxes, help=text)
    detect.add_argument("--classes", choices=("caries", "all"), default="caries", help="classes shown")
    detect.add_argument("--lang", choices=("en", "ko"), default="en", help="language of the labels")
    text = "format of the annotated photos (default: png; with --ray, none are written)"
    detect.add_argument("--format", choices=MEDIA_TYPES, help=text)
    detect.add_argument("--json", action="store_true", help="print the answer for each photo as a line of JSON")

    _add_command(commands, "models", _models, "list the models of the store", ("model_store", "model", "model_version"))
    _add_command(
        commands, "health", _health, "exit with status 0 if the server on this machine is ready", ("host", "port")
    )

    reload = _add_command(commands, "reload", _reload, "replace the live model of running servers", ())
    text = "address of a server, such as http://10.0.0.5:8000; not that of a balancer"
    reload.add_argument("--server", nargs="+", required=True, metavar="URL", help=text)
    reload.add_argument("--key-file", type=Path, metavar="FILE", help="file with an API key of the role admin")
    reload.add_argument("--model", metavar="NAME", help="model to put live (default: those of each server's settings)")
    reload.add_argument("--version", type=int, metavar="NUMBER", help="its version (default: the newest)")

    keys = commands.add_parser("keys", help="add, list and revoke API keys")
    actions = keys.add_subparsers(required=True, metavar="ACTION")
    add = _add_command(actions, "add", _add_key, "create a key and print it; it is never shown again", ("keys",))
    add.add_argument("--name", required=True, help="the user of the key, such as a program or a room")
    roles = [role.value for role in Role]
    add.add_argument("--role", choices=roles, default="detect", help="admin may do everything (default: detect)")
    _add_command(actions, "list", _list_keys, "list the keys: id, role, time of creation, name", ("keys",))
    revoke = _add_command(actions, "revoke", _revoke_key, "revoke a key, also for running servers", ("keys",))
    revoke.add_argument("key", metavar="ID_OR_NAME")

    audit = commands.add_parser("audit", help="check the audit log")
    checks = audit.add_subparsers(required=True, metavar="ACTION")
    text = "find lines that were changed, removed, inserted or moved"
    verify = _add_command(checks, "verify", _verify_audit, text, ("audit",))
    verify.add_argument("folders", nargs="*", type=Path, metavar="FOLDER", help="logs of several servers")
    verify.add_argument(
        "--noted", metavar="SHA256", help="hash from an earlier verification, which the log must contain"
    )

    reviews = commands.add_parser("reviews", help="export and delete the photos kept for review")
    actions = reviews.add_subparsers(required=True, metavar="ACTION")
    text = "write photos with agreed labels in the layout that the training reads"
    export = _add_command(actions, "export", _export_reviews, text, ("reviews", "reviews_blind"))
    export.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to create")
    text = "delete photos with all that was said about them; all conditions given must hold"
    delete = _add_command(actions, "delete", _delete_reviews, text, ("reviews", "audit"))
    delete.add_argument("--photo", type=int, metavar="NUMBER", help="the photo of this number")
    delete.add_argument("--patient", metavar="PSEUDONYM", help="photos of this patient")
    delete.add_argument("--older-than-days", type=float, metavar="DAYS", help="photos kept before that")

    gateway = commands.add_parser("gateway", help="pass photos of archives to the server and its answers back")
    actions = gateway.add_subparsers(required=True, metavar="ACTION")
    text = "receive, screen and deliver until stopped"
    _add_command(actions, "run", _run_gateway, text, (*GATEWAY_ONLY, *GATEWAY_SETTINGS))
    _add_command(
        actions, "list", _list_gateway, "list the dead letters: number, time, kind, tries, last error", ("gateway",)
    )
    resend = _add_command(actions, "resend", _resend_gateway, "queue dead letters again", ("gateway",))
    resend.add_argument("numbers", nargs="*", type=int, metavar="NUMBER", help="from the list; none means all")

    text = "put the photos of an archive into the queue; a second call resumes the first"
    fill = _add_command(actions, "backfill", _backfill, text, ("gateway", "gateway_credentials", "max_bytes"))
    fill.add_argument(
        "--archive", required=True, type=_web_root, metavar="URL", help="root of the archive's DICOMweb services"
    )
    text = "date or range, such as 20260101-20261231"
    fill.add_argument("--study-date", required=True, type=_study_date, metavar="DATE", help=text)
    text = "photos fetched in a minute at most (default: 60)"
    fill.add_argument("--per-minute", type=float, default=60.0, metavar="NUMBER", help=text)

    text = "write the reviews, the API keys and the audit log to standard output as a tar archive"
    _add_command(commands, "backup", _backup, text, ("keys", "audit", "reviews"))
    text = "restore such an archive from standard input; nothing may be there yet"
    _add_command(commands, "restore", _restore, text, ("keys", "audit", "reviews"))
    _add_command(commands, "settings", _settings, "list the settings and their values", ())
    return parser


def _add_command(
    commands: _Commands, name: str, run: Callable[[argparse.Namespace], int], text: str, settings: Collection[str]
) -> argparse.ArgumentParser:
    """A subcommand with flags for these settings."""
    parser = commands.add_parser(name, help=text)
    parser.set_defaults(run=run)
    if settings:
        group = parser.add_argument_group("settings", "each overrides its environment variable")
        for entry in fields(Settings):
            if entry.name in settings:
                text = f"{entry.metadata['sentence']} {variable(entry.name)}"
                group.add_argument(f"--{flag(entry.name)}", dest=f"set_{entry.name}", metavar="VALUE", help=text)
    return parser


class _ShowVersion(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(f"caries {distribution_version()}")
        parser.exit()


def _read_settings(parsed: argparse.Namespace) -> Settings:
    flags = {entry.name: getattr(parsed, f"set_{entry.name}", None) for entry in fields(Settings)}
    return Settings.read(os.environ, flags)


def _threshold(text: str) -> float:
    value = float(text)
    if value not in THRESHOLD_BOUNDS:
        raise argparse.ArgumentTypeError(f"{text} is not from {THRESHOLD_BOUNDS}")
    return value


def _web_root(text: str) -> str:
    with suppress(ValueError):
        if is_web_root(text):
            return text.rstrip("/")
    raise argparse.ArgumentTypeError("it must be an http(s) URL without user and password")


def _study_date(text: str) -> str:
    if not re.fullmatch(r"[0-9]{8}(-[0-9]{8})?", text):
        raise argparse.ArgumentTypeError(f"{text} is not a date or range such as 20260101-20261231")
    return text


def _max_boxes(text: str) -> int:
    value = int(text)
    if value not in MAX_BOXES_BOUNDS:
        raise argparse.ArgumentTypeError(f"{text} is not from {MAX_BOXES_BOUNDS}")
    return value


def _serve(parsed: argparse.Namespace) -> int:
    # The kernel drops signals without a handler to a container's first process, and the start takes a while.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    settings = _read_settings(parsed)
    settings.check_exposure()
    if settings.keys is not None and (key := KeyFile(settings.keys).add_first()) is not None:
        # Not logged, since logs are kept.
        print(f"caries: created {settings.keys} with an admin key, shown only here: {key}", file=sys.stderr, flush=True)
    from app.process.logs import configure
    from app.process.memory import keep_out_of_core_dumps, return_large_blocks

    keep_out_of_core_dumps()
    return_large_blocks()
    configure(settings.log_level, as_json=settings.log_format is LogFormat.JSON)
    from app.api import create_app
    from app.api.server import Server

    failed = False

    def stop() -> None:
        nonlocal failed
        failed = True
        server.should_exit = True

    server = Server(create_app(settings, on_failure=stop))
    # uvicorn raises the stop signal again when it is done; a requested stop is not a failure.
    signal.signal(signal.SIGTERM, lambda *_: setattr(server, "should_exit", True))
    server.run()
    return 1 if failed or not server.started else 0


def _detect(parsed: argparse.Namespace) -> int:
    settings = _read_settings(parsed)
    logging.basicConfig(level="WARNING", format="caries: %(message)s")
    from app.process.memory import keep_out_of_core_dumps
    from app.screen_photo import Options
    from app.screening import ClassSelection

    keep_out_of_core_dumps()
    options = Options(
        threshold=parsed.threshold,
        max_boxes=parsed.max_boxes,
        classes=ClassSelection(parsed.classes),
        lang=parsed.lang,
        media_type=MEDIA_TYPES.get(parsed.format or ("" if parsed.ray else "png")),
    )
    failures: Sequence[tuple[object, str]]
    if parsed.ray:
        if parsed.json:
            raise SettingsError("--json and --ray exclude each other; --ray writes Parquet")
        from app.cluster import require_extra

        require_extra()
        from app.archive.detect import detect_archive

        failures = detect_archive(parsed.photos, parsed.out, options, settings, parsed.ray)
    else:
        from app.detect_folder import detect_photos

        photos = [Path(name) for name in parsed.photos]
        failures = detect_photos(photos, Path(parsed.out), options, settings, print_json=parsed.json)
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
            bundle = read_bundle(path, verify=False)
            point = bundle.operating_point
            text = f"threshold {point.score_threshold:g}, sensitivity {_figure(point.sensitivity)}, "
            text += f"false positives per image {_figure(point.false_positives_per_image)}"
            if bundle.operating_points:
                text += f", operating points {', '.join(bundle.operating_points)} (default {point.name})"
        except BundleError as error:
            text = f"unusable: {error}"
        print(f"{mark} {name} {version}  {text}  {path}")
    print("* marks the one that is served")
    return 0


def _figure(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.2f}"


def _health(parsed: argparse.Namespace) -> int:
    from http.client import HTTPConnection, HTTPException

    settings = _read_settings(parsed)
    # A server that listens on every address also listens on the loopback address.
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


def _reload(parsed: argparse.Namespace) -> int:
    from app.reload_servers import reload_server

    key = None
    if parsed.key_file is not None:
        try:
            key = parsed.key_file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"--key-file: {parsed.key_file} cannot be read ({error})") from None
    outcomes = [reload_server(url, key, model=parsed.model, version=parsed.version) for url in parsed.server]
    for outcome in outcomes:
        print(f"{outcome.server}  {outcome.text}", file=sys.stdout if outcome.is_done else sys.stderr)
    return 0 if all(outcome.is_done for outcome in outcomes) else 1


def _key_file(parsed: argparse.Namespace) -> KeyFile:
    path = _read_settings(parsed).keys
    if path is None:
        raise SettingsError(f"no file of API keys is set; give --keys FILE or set {variable('keys')}")
    return KeyFile(path)


def _add_key(parsed: argparse.Namespace) -> int:
    entry, key = _key_file(parsed).add(parsed.name, Role(parsed.role))
    print(f"caries: key {entry.id} with role {entry.role} for {entry.name}, shown only here:", file=sys.stderr)
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
    folders = parsed.folders or ([] if folder is None else [folder])
    if not folders:
        raise SettingsError(f"no audit log is set; give its folder or set {variable('audit')}")
    if parsed.noted and len(folders) > 1:
        raise SettingsError("--noted is the hash of one log; verify that log alone")
    is_broken = False
    for folder in folders:
        head = f"{folder}: " if len(folders) > 1 else ""
        try:
            found = verify(folder, noted=parsed.noted)
        except AuditError as error:
            if not head:
                raise
            print(f"caries: {head}{error}", file=sys.stderr)
            is_broken = True
            continue
        for line in (*found.notes, *found.findings):
            print(f"caries: {head}{line}", file=sys.stderr)
        state = "broken" if found.findings else "unbroken"
        text = f"{found.lines} lines, {found.first} to {found.last.seq}, {state}"
        print(f"{head}{text}; the last has the hash {found.last.sha256}")
        is_broken |= bool(found.findings)
    return 1 if is_broken else 0


def _export_reviews(parsed: argparse.Namespace) -> int:
    from app.reviews import open_store

    with closing(open_store(_read_settings(parsed), create=False)) as store:
        from app.reviews.export import export

        number = export(store, parsed.out)
    print(f"caries: {number} photos are in {parsed.out}", file=sys.stderr)
    return 0


def _delete_reviews(parsed: argparse.Namespace) -> int:
    from app.records.audit import AuditLog
    from app.reviews import open_store

    settings, days = _read_settings(parsed), parsed.older_than_days
    if parsed.photo is None and parsed.patient is None and days is None:
        raise SettingsError("nothing is selected; give --photo, --patient or --older-than-days")
    with closing(open_store(settings, create=False)) as store, ExitStack() as stack:
        from app.reviews.store import Selection

        log = stack.enter_context(closing(AuditLog(settings.audit))) if settings.audit else None

        def record(photo_id: int, sha256: str) -> None:
            if log is not None:
                log.append({"event": "photo_deleted", "photo_id": photo_id, "picture_sha256": sha256})
            print(photo_id, sha256)

        before = datetime.now(UTC) - timedelta(days=days) if days is not None else None
        selection = Selection(photo_id=parsed.photo, patient=parsed.patient, kept_before=before)
        number = store.delete(selection, record)
    print(f"caries: {number} photos are deleted", file=sys.stderr)
    return 0


def _run_gateway(parsed: argparse.Namespace) -> int:
    from app.gateway import require_extra

    settings = _read_settings(parsed)
    require_extra()
    from threading import Event

    from app.gateway.receiver import Receiver
    from app.gateway.run import run
    from app.gateway.web import Web
    from app.process.logs import configure
    from app.process.memory import keep_out_of_core_dumps

    keep_out_of_core_dumps()
    configure(settings.log_level, as_json=settings.log_format is LogFormat.JSON)
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    def ready(receiver: Receiver, web: Web | None) -> None:
        where = f" and {web.port} for HTTP" if web else ""
        print(f"caries: the gateway listens on port {receiver.port} for DICOM{where}", file=sys.stderr, flush=True)

    run(settings, stop, ready=ready)
    return 0


@contextmanager
def _queue(folder: Path | None) -> Iterator[Queue]:
    """The gateway's queue; what goes wrong with it is an error of the operator's."""
    from sqlite3 import Error

    from app.gateway.queue import open_queue

    with closing(open_queue(folder)) as queue:
        try:
            yield queue
        except BrokenPipeError:  # of the output
            raise
        except (OSError, Error) as error:
            raise OutputError(f"the queue in {folder} cannot be used: {error}") from error


def _list_gateway(parsed: argparse.Namespace) -> int:
    with _queue(_read_settings(parsed).gateway) as queue:
        for entry in queue.dead():
            given_up = datetime.fromtimestamp(entry.dead or 0, UTC)
            to = f" to {entry.archive}" if entry.archive else ""
            print(f"{entry.id}  {given_up:%Y-%m-%d %H:%M} UTC  {entry.kind}{to}  {entry.tries} tries  {entry.error}")
    return 0


def _resend_gateway(parsed: argparse.Namespace) -> int:
    with _queue(_read_settings(parsed).gateway) as queue:
        number = queue.resend(parsed.numbers or None)
    print(f"caries: {number} {'entry' if number == 1 else 'entries'} queued again", file=sys.stderr)
    return 0


def _backfill(parsed: argparse.Namespace) -> int:
    from app.gateway import require_extra

    settings = _read_settings(parsed)
    require_extra()
    from tqdm import tqdm

    from app.gateway.backfill import DicomWebSource, Progress, backfill
    from app.gateway.credentials import read_credentials

    credentials = read_credentials(settings.gateway_credentials)
    progress = Progress()
    with _queue(settings.gateway) as queue, tqdm(unit="study", file=sys.stderr) as bar:
        for progress in backfill(
            DicomWebSource(parsed.archive, credentials.get(parsed.archive, "")),
            queue,
            parsed.study_date,
            max_bytes=settings.max_bytes,
            per_minute=max(parsed.per_minute, 0.01),
        ):
            bar.update()
            bar.set_postfix(queued=progress.queued, known=progress.known, failed=progress.failed)
    print(
        f"caries: {progress.studies} studies: {progress.queued} photos wait now, {progress.known} were known,"
        f" {progress.refused} are not colour photos, {progress.failed} failed",
        file=sys.stderr,
    )
    return 1 if progress.failed else 0


def _backup(parsed: argparse.Namespace) -> int:
    from app.records.backup import write_backup

    settings = _read_settings(parsed)
    if settings.keys is None and settings.audit is None and settings.reviews is None:
        names = ", ".join(variable(name) for name in ("keys", "audit"))
        raise SettingsError(f"there is nothing to back up; set {names} or {variable('reviews')}")
    if sys.stdout.isatty():
        raise SettingsError("the backup is a binary file; send standard output to a file")
    reviews: Iterable[tuple[str, bytes]] = ()
    if settings.reviews is not None:
        from app.reviews import require_extra

        require_extra()
        from app.reviews.archive import archived_files

        reviews = archived_files(settings.reviews)
    files = write_backup(sys.stdout.buffer, keys=settings.keys, audit=settings.audit, reviews=reviews)
    print(f"caries: the backup contains {files} files", file=sys.stderr)
    return 0


def _restore(parsed: argparse.Namespace) -> int:
    from app.records.backup import restore_backup

    settings, restore_reviews = _read_settings(parsed), None
    if settings.reviews is not None:
        from app.reviews import require_extra

        require_extra()
        from app.reviews.archive import restore_files

        restore_reviews = partial(restore_files, settings.reviews)
    files = restore_backup(sys.stdin.buffer, keys=settings.keys, audit=settings.audit, restore_reviews=restore_reviews)
    print(f"caries: {files} files are restored", file=sys.stderr)
    return 0


def _settings(_: argparse.Namespace) -> int:
    print(describe(Settings.read(os.environ)))
    return 0
