"""The commands. Each imports what it needs when it runs, so that `--help` answers at once."""

from __future__ import annotations

import faulthandler
import logging
import os
import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamwatch import __version__
from streamwatch.cli import output
from streamwatch.cli.alerts import alerts
from streamwatch.cli.commands import Command, Group
from streamwatch.cli.detecting import detect
from streamwatch.cli.doctor import doctor
from streamwatch.cli.endings import (
    EXIT_FAILED,
    EXIT_TROUBLED,
    asking_the_daemon_of,
    fail,
    fail_at,
    require_runnable,
)
from streamwatch.cli.options import (
    ConfigOption,
    JsonOption,
    LastGoodOption,
    VerboseOption,
    cameras_of_config,
)
from streamwatch.cli.signals import (
    INTERRUPTED,
    interrupted_by_signals,
    reload_on_sighup,
    stop_on_signals,
)
from streamwatch.cli.trying import try_
from streamwatch.cli.tune import tune
from streamwatch.errors import StreamwatchError, UnavailableSetting, foreseen
from streamwatch.paths import FILE_NAME

if TYPE_CHECKING:
    from streamwatch.config import Config
    from streamwatch.daemon.reloading import Followed

log = logging.getLogger(__name__)

app = typer.Typer(
    name="streamwatch",
    cls=Group,
    help="Tells you over MQTT when something you described in words appears in front of a camera.",
    epilog="Exit codes: 0 done or stopped cleanly; 1 the configuration is wrong; 2 the command "
    "line is wrong; 3 something failed while running; 130 or 143 stopped at once by a second "
    "signal.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command that the arguments name; ends the process."""
    output.fill_closed()
    # Prints where each thread was when systemd's watchdog aborts it or a library crashes.
    with suppress(RuntimeError):  # stderr is closed
        faulthandler.enable()
    output.allow_any_text()
    try:
        app()
    except Exception as error:
        print(f"streamwatch: {foreseen(error)}", file=sys.stderr)  # noqa: T201
        sys.exit(EXIT_FAILED)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"streamwatch {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    pass


@app.command(cls=Command)
def run(
    config: ConfigOption = None,
    last_good: LastGoodOption = False,
    _verbose: VerboseOption = False,
) -> None:
    """Run the daemon until it is stopped (SIGTERM, Ctrl-C) or all its files have ended.

    Edits of the configuration file take effect when it is saved; SIGHUP reads it again.
    """
    from streamwatch import logs
    from streamwatch.config import find
    from streamwatch.daemon.lock import locked
    from streamwatch.daemon.reloading import start

    try:
        path = find(config)
        settings, followed = start(path, last_good=last_good)
        logs.set_up(settings.log.level, settings.log.format)
        with locked(path):
            _run(settings, followed)
    except UnavailableSetting as error:
        fail_at(path, error)
    except StreamwatchError as error:
        fail(error)


def _run(settings: Config, followed: Followed) -> None:
    """Fetch what is missing, then run until stopped. Raises StreamwatchError."""
    from streamwatch.daemon.fetch_first import fetch_first

    require_runnable(settings.detector)
    try:
        with interrupted_by_signals():
            fetch_first(settings.detector)
    except KeyboardInterrupt:
        log.info("stopped while fetching; the next start goes on with it")
        return
    from streamwatch.daemon.daemon import Daemon

    daemon = Daemon(settings, followed)
    with (
        reload_on_sighup(daemon.request_reload),
        stop_on_signals(daemon.request_stop),
        daemon,
    ):
        daemon.run()


@app.command(cls=Command)
def fleet(
    config: ConfigOption = None,
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            metavar="HOST:PORT",
            help="Of the Ray cluster's head. Without it: $RAY_ADDRESS, else the cluster that this "
            "machine is a node of.",
            show_default=False,
        ),
    ] = None,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure", help="Allow a cluster without a token, where anybody may run anything."
        ),
    ] = False,
    last_good: LastGoodOption = False,
    _verbose: VerboseOption = False,
) -> None:
    """Run one configuration on all machines of a Ray cluster, until it is stopped.

    It says which machine watches which camera, and moves cameras when machines come and go. Needs
    the extra `fleet`, and a cluster that runs.
    """
    from streamwatch import logs
    from streamwatch.config import find
    from streamwatch.daemon.lock import locked
    from streamwatch.daemon.reloading import start
    from streamwatch.fleet.cluster import Cluster
    from streamwatch.fleet.fitness import require_fit

    try:
        path = find(config)
        settings, followed = start(path, last_good=last_good)
        logs.set_up(settings.log.level, settings.log.format)
        require_fit(settings)
        with locked(path):
            cluster = Cluster(address, settings.mqtt.topic_prefix, insecure=insecure)
            try:
                from streamwatch.fleet.fleet import Fleet

                running = Fleet(settings, followed, cluster)
                with (
                    reload_on_sighup(running.request_reload),
                    stop_on_signals(running.request_stop),
                    running,
                ):
                    running.run()
            finally:
                cluster.leave()
    except UnavailableSetting as error:
        fail_at(path, error)
    except StreamwatchError as error:
        fail(error)


@app.command(cls=Command)
def check(
    config: ConfigOption = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of the configuration.")
    ] = False,
    connect: Annotated[
        bool,
        typer.Option(
            "--connect", help="Open each camera and the broker too, and tell what they answer."
        ),
    ] = False,
) -> None:
    """Say whether the configuration is right, what it will run, and what may disappoint.

    With --connect it exits with 3 if a camera or the broker can't be used. If the daemon runs with
    this file, it is asked instead.
    """
    from streamwatch import config as configuration
    from streamwatch.daemon.fetch_first import what_is_fetched
    from streamwatch.prompts.advice import suggestions

    if schema:
        output.print_json(configuration.schema())
        return
    try:
        path = configuration.find(config)
        settings = configuration.load(path)
        require_runnable(settings.detector)
        fetched, advice = what_is_fetched(settings.detector)
        advice = [*configuration.warnings(settings, path), *advice, *suggestions(settings)]
        warnings = configuration.placed(advice, path)
    except UnavailableSetting as error:
        fail_at(path, error)
    except StreamwatchError as error:
        fail(error)
    typer.echo(f"{path} is right. It runs:\n")
    for line in configuration.describe(settings, fetched):
        output.say(line, indent="  ")
    if warnings:
        typer.echo("\nWhat may disappoint:\n")
    for warning in warnings:
        output.say(warning, indent="  ", color=typer.colors.YELLOW)
    if connect:
        _connect(path, settings)


def _connect(path: Path, settings: Config) -> None:
    from streamwatch.cli.connecting import show_answers

    typer.echo("\nWhat answers:\n")
    try:
        with interrupted_by_signals():
            all_well = show_answers(settings, path)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except StreamwatchError as error:
        fail(error)
    if not all_well:
        raise typer.Exit(EXIT_FAILED)


@app.command(cls=Command)
def status(
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how the running daemon is doing.

    Exit codes: 0 all is well; 1 it runs, with problems; 3 it does not run.
    """
    from rich.console import Console

    from streamwatch.cli.status import is_well, show
    from streamwatch.config import find
    from streamwatch.paths import status_sockets
    from streamwatch.status.socket import ask

    try:
        path = find(config)
        with asking_the_daemon_of(path):
            found = ask(status_sockets(path))
    except StreamwatchError as error:
        fail(error)
    if found is None:
        fail(StreamwatchError(f"no daemon is running with {path.absolute()}"))
    if as_json:
        output.print_json(found)
    else:
        show(found, Console(highlight=False))
    if not is_well(found):
        raise typer.Exit(EXIT_TROUBLED)


app.command(cls=Command)(doctor)
app.command("try", cls=Command)(try_)
app.command(cls=Command)(detect)
app.command(cls=Command)(tune)


@app.command(cls=Command)
def look(
    camera: Annotated[
        str,
        typer.Argument(
            metavar="CAMERA",
            help="As the configuration names it.",
            autocompletion=cameras_of_config,
        ),
    ],
    config: ConfigOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="The JPEG to write, `-` for standard output. Without it: CAMERA.jpg.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write a picture of a camera, with its zones and a grid to find their numbers with.

    The running daemon gives it, or where none reads this camera it is opened for it.
    """
    from streamwatch.cli.look import HINT
    from streamwatch.cli.look import look as seen_by
    from streamwatch.config import did_you_mean, find, listing, load

    target = output or Path(f"{camera}.jpg")
    to_stdout = target == Path("-")
    if to_stdout and sys.stdout.isatty():
        raise typer.BadParameter("a terminal shows no pictures; send it to a file or program")
    try:
        path = find(config)
        cameras = load(path).cameras
        if camera not in cameras:
            meant = did_you_mean(camera, cameras)
            known = f"; {path} has {listing(cameras, 'and') if cameras else 'none'}"
            raise typer.BadParameter(f"there is no camera {camera}{meant or known}")
        with asking_the_daemon_of(path):
            seen = seen_by(path, camera, cameras[camera])
    except StreamwatchError as error:
        fail(error)
    if to_stdout:
        sys.stdout.buffer.write(seen.jpeg)
        return
    try:
        target.write_bytes(seen.jpeg)
    except OSError as error:
        fail(StreamwatchError(f"{target} can't be written: {error.strerror}"))
    width, height = seen.size
    whose = "as the running daemon sees it" if seen.from_daemon else "opened for this"
    typer.echo(f"Wrote {target}: {camera}, {width}x{height}, {whose}.\n")
    typer.echo(HINT.format(file=path, camera=camera))


@app.command(cls=Command)
def taught(
    config: ConfigOption = None,
    forget: Annotated[
        str | None,
        typer.Option(
            "--forget",
            metavar="ID",
            help="Take back what was said of this alert.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the alerts that were said to be wrong or right, or take one back.

    Exit codes: 0 done; 3 nothing was said of that alert, or it can't be read.
    """
    from rich.console import Console

    from streamwatch.cli.taught import forget as take_back
    from streamwatch.cli.taught import known, show
    from streamwatch.config import find

    try:
        path = find(config)
        with asking_the_daemon_of(path):
            if forget is not None:
                take_back(path, forget)
                typer.echo(f"Forgot what was said of {forget}.")
                return
            votes = known(path)
    except StreamwatchError as error:
        fail(error)
    if as_json:
        output.print_json(votes)
    else:
        show(votes, Console(highlight=False))


app.command(cls=Command)(alerts)


@app.command(cls=Command)
def demo(
    config: Annotated[
        Path | None,
        typer.Option(
            "-c",
            "--config",
            metavar="FILE",
            help="The configuration. Without it: ./config.yaml where there is one, else the "
            "shipped one: a bundled model, a bundled clip, a broker inside.",
            show_default=False,
        ),
    ] = None,
    _verbose: VerboseOption = False,
) -> None:
    """Run a configuration and show its alerts on the screen, read back from MQTT."""
    from rich.console import Console

    from streamwatch import logs
    from streamwatch.config import load
    from streamwatch.paths import shipped

    console = Console(highlight=False)
    own = config or (Path(FILE_NAME) if Path(FILE_NAME).exists() else None)
    try:
        path = own or shipped(FILE_NAME)
        settings = load(path)
        logs.set_up("warning", "text")
        require_runnable(settings.detector)
        from streamwatch.cli.models import pull_for

        pull_for(settings.detector, console)
        from streamwatch.cli.demo import demo as show
        from streamwatch.cli.demo import with_pictures_at_home

        show(settings if own else with_pictures_at_home(settings), own, console)
    except UnavailableSetting as error:
        fail_at(path, error)
    except StreamwatchError as error:
        fail(error)


models_app = typer.Typer(
    cls=Group, help="List the models a configuration can name, or fetch one (`models pull`)."
)
app.add_typer(models_app, name="models")


@models_app.callback(invoke_without_command=True)
def models(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        from rich.console import Console

        from streamwatch.cli.models import list_models

        try:
            list_models(Console(highlight=False))
        except StreamwatchError as error:
            fail(error)


def _pullable(begun: str) -> list[str]:
    from streamwatch.cli.models import KNOWN

    return sorted(name for name in KNOWN if name.startswith(begun))


@models_app.command(cls=Command)
def pull(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="As `streamwatch models` lists it.",
            autocompletion=_pullable,
        ),
    ],
) -> None:
    """Fetch a model and its text encoder, or go on where an earlier fetch broke off.

    Exit codes: 0 it is here, complete and verified; 2 there is no such model; 3 it can't be had,
    for the reason told; 130 stopped by Ctrl-C, to be gone on with.
    """
    from rich.console import Console

    from streamwatch.cli.models import KNOWN, pull_model
    from streamwatch.config import did_you_mean

    if name not in KNOWN:
        meant = did_you_mean(name, KNOWN) or "; `streamwatch models` lists what there is"
        raise typer.BadParameter(f"there is no {name}{meant}")
    try:
        pull_model(name, Console(highlight=False))
    except StreamwatchError as error:
        fail(error)
    except KeyboardInterrupt:
        typer.echo(f"stopped; `streamwatch models pull {name}` goes on from here", err=True)
        raise typer.Exit(INTERRUPTED) from None


@models_app.command("compile", cls=Command)
def compile_models(config: ConfigOption = None) -> None:
    """Compile the detector of a configuration ahead of time, as for an image or before a journey.

    `run` does it by itself, in the background. With `precision: int8` the cameras are watched for
    the pictures that this takes, for some minutes, and nothing is published. Exit codes: 0 it is
    compiled, or torch runs it; 1 the configuration is wrong; 3 it can't be done, for the reason
    told; 130 stopped by Ctrl-C.
    """
    from rich.console import Console

    from streamwatch import config as configuration
    from streamwatch.cli.models import pull_for

    console = Console(highlight=False)
    try:
        path = configuration.find(config)
        settings = configuration.load(path)
        require_runnable(settings.detector)
        pull_for(settings.detector, console)
        from streamwatch.cli.compiling import compile_for

        compile_for(settings, console)
    except UnavailableSetting as error:
        fail_at(path, error)
    except StreamwatchError as error:
        fail(error)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


@app.command(cls=Command)
def init(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where to write it.", show_default=True)
    ] = Path(),
) -> None:
    """Write a commented config.yaml to start from, with its schema for editors beside it.

    A config.yaml that is there already stays as it is; the schema becomes that of this version.
    """
    from streamwatch.paths import shipped, starter

    target, schema = folder / FILE_NAME, folder / "config.schema.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_new = _write_new(target, starter())
        schema.write_bytes(shipped(schema.name).read_bytes())
    except OSError as error:
        fail(StreamwatchError(f"{error.filename or target} can't be written: {error.strerror}"))
    if is_new:
        output.say(f"Wrote {target}. Put in your camera, your broker and your words, then:")
    else:
        output.say(f"{target} is there already and stays as it is; {schema} is up to date. Next:")
    typer.echo()
    for command in ("check --connect", "look porch", "run"):
        typer.echo(f"  {output.program()} {command} -c {shlex.quote(str(target))}")


def _write_new(path: Path, text: str) -> bool:
    """False where the file is there already. Raises OSError.

    Readable by its owner only, since people write passwords into it.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return True
