"""The command `alerts`. It imports what it needs when it runs, as the others do."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamwatch.cli.endings import asking_the_daemon_of, fail
from streamwatch.cli.options import ConfigOption, cameras_of_config
from streamwatch.cli.output import forget_stdout
from streamwatch.cli.signals import interrupted_by_signals, stop_on_signals
from streamwatch.errors import ConfigError, Problem, StreamwatchError

if TYPE_CHECKING:
    from streamwatch.config import Config, MqttSettings

PASSWORD_VARIABLE = "STREAMWATCH_MQTT_PASSWORD"
BROKER = "Broker"
READ_FROM_FILE = {
    *("host", "port", "embedded", "tls", "username", "password", "topic_prefix", "client_id"),
}
OPTIONS = {
    "mqtt.tls: true": "--tls",
    "mqtt.tls.certificate": "mqtt.tls.certificate of a configuration",
    "mqtt.tls.ca": "--ca",
    "mqtt.tls": "--tls",
    "mqtt.host": "--host",
    "mqtt.port": "--port",
    "mqtt.topic_prefix": "--prefix",
    "mqtt.username": "--username",
    "mqtt.password": f"--password-file or {PASSWORD_VARIABLE}",
    "mqtt.client_id": "mqtt.client_id of a configuration",
}
"""What to say for a key where there is no file that it could stand in; what begins alike, the
longest first."""


def alerts(
    config: ConfigOption = None,
    host: Annotated[
        str | None,
        typer.Option(
            metavar="HOST",
            help="The broker. With it no configuration is needed, and none looked for.",
            rich_help_panel=BROKER,
            show_default=False,
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            metavar="PORT",
            min=1,
            max=65535,
            help="1883 where left out, or 8883 with --tls.",
            rich_help_panel=BROKER,
            show_default=False,
        ),
    ] = None,
    username: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="To log in with.", rich_help_panel=BROKER, show_default=False
        ),
    ] = None,
    password_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=f"File with the password. Without it: ${PASSWORD_VARIABLE}.",
            rich_help_panel=BROKER,
            show_default=False,
        ),
    ] = None,
    tls: Annotated[
        bool, typer.Option("--tls", help="Encrypt, and verify it.", rich_help_panel=BROKER)
    ] = False,
    ca: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The certificates to trust, in PEM; includes --tls.",
            rich_help_panel=BROKER,
            show_default=False,
        ),
    ] = None,
    prefix: Annotated[
        str | None,
        typer.Option(
            metavar="PREFIX",
            help="First part of the topics; streamwatch where left out.",
            rich_help_panel=BROKER,
            show_default=False,
        ),
    ] = None,
    camera: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Only those of this camera; may be repeated.",
            autocompletion=cameras_of_config,
            show_default=False,
        ),
    ] = None,
    watch: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Only those of this watch; may be repeated.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each as it came, as JSON in one line.")
    ] = False,
    pictures: Annotated[
        bool | None,
        typer.Option(
            "--pictures/--no-pictures",
            help="With pictures, if need be coarse ones. Without either: where the terminal can"
            " show real ones.",
            show_default=False,
        ),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Tell the updates of a visit too.")
    ] = False,
) -> None:
    """Show the alerts of any broker as they come, until Ctrl-C.

    The broker is that of the configuration, or the one of --host. It may be away, at the start
    too: it is looked for until it is back. Exit codes: 0 stopped; 1 the configuration is wrong; 2
    the command line is wrong; 3 the broker does not let us in.
    """
    from streamwatch.config import load

    with suppress(KeyboardInterrupt), interrupted_by_signals():
        options = {
            "host": host,
            "port": port,
            "username": username,
            "password": _password(password_file),
            "tls": {"ca": str(ca.absolute())} if ca is not None else (tls or None),
            "topic_prefix": prefix,
        }
        given = {name: value for name, value in options.items() if value is not None}
        try:
            path = _found(config, is_needed=host is None)
            settings = None if path is None else load(path)
        except StreamwatchError as error:
            fail(error)
        cameras, watches = camera or [], watch or []
        _check_names("camera", cameras, settings.cameras if settings else None)
        _check_names("watch", watches, settings.watches if settings else None)
        if path is not None and settings is not None and _takes_any_port(settings.mqtt, given):
            given["port"] = _port_of_daemon(path)
        broker = _broker(settings, given)
        try:
            _follow(
                broker,
                cameras,
                watches,
                as_json=as_json,
                pictures=pictures,
                verbose=verbose,
            )
        except StreamwatchError as error:
            fail(error if settings else StreamwatchError(_with_options(str(error))))


def _follow(
    broker: MqttSettings,
    cameras: list[str],
    watches: list[str],
    *,
    as_json: bool,
    pictures: bool | None,
    verbose: bool,
) -> None:
    """Raises PublisherError if the broker does not let us in."""
    from streamwatch.cli.alerts_following import AlertFollower, Output
    from streamwatch.cli.alerts_screen import AlertConsole, AlertLines, JsonLines
    from streamwatch.cli.terminal_pictures import TerminalPictures

    console = AlertConsole(highlight=False, markup=False, emoji=False)
    shown = TerminalPictures(console, False if as_json else pictures)
    output: Output = JsonLines() if as_json else AlertLines(console, shown, verbose=verbose)
    follower = AlertFollower(
        broker, output, cameras=cameras, watches=watches, with_pictures=shown.able
    )
    with stop_on_signals(follower.reader.stop), suppress(BrokenPipeError):
        follower.follow()
        return
    forget_stdout()  # as with `| head`


def _found(config: Path | None, *, is_needed: bool) -> Path | None:
    """The configuration that is named, or found where one is needed. Raises ConfigError."""
    from streamwatch.config import find

    if config is None and not is_needed:
        return None
    try:
        return find(config)
    except ConfigError as error:
        message = f"{error.problems[0].message}; or name a broker with --host"
        raise ConfigError([Problem("config.yaml", None, None, "", message)]) from None


def _takes_any_port(settings: MqttSettings, given: Mapping[str, Any]) -> bool:
    """Whether only the daemon knows where its broker inside listens."""
    is_named = "host" in given or "port" in given
    return settings.embedded and settings.port == 0 and not is_named


def _port_of_daemon(path: Path) -> int:
    """That of the broker inside the daemon that runs with this file; ends where none can tell."""
    from streamwatch.paths import status_sockets
    from streamwatch.status.socket import ask

    with asking_the_daemon_of(path):
        running = ask(status_sockets(path))
    port = 0 if running is None else int(running["broker"]["address"].rpartition(":")[2])
    if port == 0:  # or it was started by an earlier version, which does not tell
        fail(
            StreamwatchError(
                "the broker inside takes any free port (mqtt.port: 0), and no daemon that runs with"
                f" {path.absolute()} tells which; start one, give it a port, or name that with"
                " --port"
            )
        )
    return port


def _broker(settings: Config | None, given: dict[str, Any]) -> MqttSettings:
    """That of the configuration, with what the command line says in its place."""
    from pydantic import ValidationError

    from streamwatch.config import MqttSettings, Reading

    written: dict[str, Any] = {}
    if settings is not None:
        names = settings.mqtt.model_fields_set & READ_FROM_FILE
        written = {name: getattr(settings.mqtt, name) for name in names}
    if given.get("tls") is True and written.get("tls"):
        del given["tls"]  # the file says more of it
    if "host" in given:
        written.pop("embedded", None)
    elif written.get("embedded"):
        written["host"] = "127.0.0.1"
    if "password" in given and "username" not in {**written, **given}:
        raise typer.BadParameter("a password goes with a --username")
    try:
        return MqttSettings.model_validate({**written, **given}, context=Reading(Path.cwd()))
    except ValidationError as error:
        raise typer.BadParameter(_mistake(error.errors()[0])) from None


def _mistake(found: Mapping[str, Any]) -> str:
    """One of pydantic's errors in the settings, told of the option that it came from."""
    from streamwatch.config import Wrong

    key = ".".join(str(part) for part in ("mqtt", *found["loc"]) if part != "(settings)")
    wrong = found.get("ctx", {}).get("error")
    if not isinstance(wrong, Wrong):
        return f"{_with_options(key)}: {found['msg']}"
    said = f"what is given {wrong.predicate}" if wrong.subject else wrong.predicate
    return f"{_with_options(key)}: {_with_options(said)}"


def _password(file: Path | None) -> str | None:
    if file is None:
        return os.environ.get(PASSWORD_VARIABLE)
    try:
        return file.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise typer.BadParameter(f"{file} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{file} holds no text in UTF-8") from None


def _check_names(kind: str, names: Iterable[str], known: Iterable[str] | None) -> None:
    """Raises BadParameter for a name that the configuration does not know, or that is none."""
    from streamwatch.config import NAME_PATTERN, did_you_mean, listing

    for name in names:
        if known is not None and name not in known:
            there_are = listing(known, "and") if known else "none"
            meant = did_you_mean(name, known) or f"; the configuration has {there_are}"
            raise typer.BadParameter(f"there is no {kind} {name}{meant}")
        if not re.fullmatch(NAME_PATTERN, name):
            raise typer.BadParameter(
                f"{name} is no name of a {kind}: those are of a-z, 0-9, _ and -"
            )


def _with_options(sentence: str) -> str:
    """With the options in place of the keys."""
    return re.sub("|".join(map(re.escape, OPTIONS)), lambda key: OPTIONS[key[0]], sentence)
