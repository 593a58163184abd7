"""Warnings about a valid configuration."""

from __future__ import annotations

import ipaddress
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from urllib.parse import urlsplit

from streamwatch.config.catalogue import ENCODERS, MODELS, RECOMMENDED
from streamwatch.config.document.expansion import holds_reference
from streamwatch.config.document.positions import is_secret, path_text
from streamwatch.config.loading import parse
from streamwatch.config.login_advice import AS_IT_STANDS, is_like_a_reference, login_advice
from streamwatch.config.phrase_advice import COLOURS, phrase_advice
from streamwatch.config.problems import fault
from streamwatch.config.sections.camera import CameraSettings
from streamwatch.config.sections.mqtt import MqttSettings
from streamwatch.config.sections.watch import WatchSettings
from streamwatch.config.sections.whole import Config
from streamwatch.config.values.addresses import is_certified, is_encrypted
from streamwatch.config.values.phrases import words
from streamwatch.config.values.units import duration_text
from streamwatch.config.wording import Wrong, listing, shortened
from streamwatch.masking import holds_password, mask_url
from streamwatch.tls import expires_at

TOYBOX_WORDS = 6
"""Prompts with more words get low confidences from toybox, whose training had few that long."""
HARDLY_SURE = 0.5
"""Shares of the model's own threshold below which a warning is given."""
TOO_SURE = 0.9
"""Confidence thresholds above which a warning is given."""
SOON = timedelta(days=30)
"""Time before a certificate's expiry from which a warning is given, enough to renew it by hand."""


@dataclass(frozen=True, slots=True)
class Advice:
    """One warning; `path` is the key it is about, such as `cameras.porch.url`."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def warnings(config: Config, file: Path | None = None) -> list[Advice]:
    """All warnings about a valid configuration, but those about prompts. Reads disk and clock.

    With `file`, which `config` was loaded from, also whether others can read passwords in it.
    """
    found = [*_overall(config), *_mqtt(config.mqtt), *_detector(config)]
    for name, camera in config.cameras.items():
        found += (Advice(f"cameras.{name}{key}", said) for key, said in _camera(camera))
    for name in config.watches:
        found += (Advice(f"watches.{name}{key}", said) for key, said in _watch(config, name))
    found += prompt_advice(config)
    found += _attributes(config)
    found += _cameras_without_watch(config)
    if file is not None:
        found += readable_passwords(file)
    return found


def prompt_advice(config: Config) -> Iterator[Advice]:
    """Warnings about prompts that are written as nothing reads them."""
    for name, watch in config.watches.items():
        for key, said in phrase_advice(watch):
            yield Advice(f"watches.{name}{key}", said)


_ATTRIBUTES = frozenset((*COLOURS, "wearing", "with", "without", "holding", "carrying"))
_PLACES = frozenset(("on", "at", "near", "under", "behind", "by"))
"""What comes after one of these tells where the thing is."""


def _attributes(config: Config) -> Iterator[Advice]:
    """Watches whose words tell how a thing looks, and that could have a second look."""
    encoder = ENCODERS.get(config.detector.encoder_name)
    if encoder is None or encoder.image is None:
        return
    found = {
        name: prompt
        for name, watch in config.watches.items()
        for prompt in watch.prompt
        if watch.enabled and "second_look" not in watch.model_fields_set
        if _ATTRIBUTES.intersection(takewhile(lambda w: w not in _PLACES, words(prompt)))
    }
    if found:
        names = listing((f"'{prompt}' ({name})" for name, prompt in found.items()), "and")
        yield Advice(
            "watches",
            f"{names}: detectors find the thing, but judge badly what it looks like; with "
            "second_look: require it is looked at again, alone, before it is told",
        )


def placed(found: Iterable[Advice], file: Path) -> list[str]:
    """Each as `FILE:LINE:COLUMN: path: message`, or without the place where its key is not in the
    file: a default's, or one from a command. Raises ConfigError if the file can't be read."""
    entries = parse(file).entries
    lines = []
    for advice in found:
        loc = tuple(advice.path.split("."))
        wrong = Wrong(advice.message, subject=False)
        in_file = loc in entries
        lines.append(str(fault(loc, wrong, entries).problem(str(file)) if in_file else advice))
    return lines


def _overall(config: Config) -> Iterator[Advice]:
    if not config.cameras:
        yield Advice("cameras", "there are none: nothing is watched until one is added")
    elif not any(camera.enabled for camera in config.cameras.values()):
        yield Advice("cameras", "all are disabled: nothing is watched until one is enabled")
    if not config.watches:
        yield Advice("watches", "there are none: nothing will ever be reported")
    elif not any(watch.enabled for watch in config.watches.values()):
        yield Advice("watches", "all are disabled: nothing will ever be reported")
    if config.timezone and not any(watch.active for watch in config.watches.values()):
        yield Advice("timezone", "without effect: no watch has active")


def _mqtt(mqtt: MqttSettings) -> Iterator[Advice]:
    if mqtt.embedded:
        if "host" in mqtt.model_fields_set and not _is_loopback(mqtt.host):
            yield Advice("mqtt.host", "without effect: the embedded broker is on the loopback")
        return
    password = mqtt.password.get_secret_value() if mqtt.password else None
    for key, value in (("username", mqtt.username), ("password", password)):
        if value and is_like_a_reference(value):
            yield Advice(f"mqtt.{key}", f"what stands here {AS_IT_STANDS}")
    if mqtt.password and not mqtt.tls and not _is_loopback(mqtt.host):
        yield Advice(
            "mqtt.password",
            f"travels to {mqtt.host} in clear; write tls: true if the broker knows TLS, or keep to "
            "a network you trust",
        )
    if mqtt.password and mqtt.username is None:
        yield Advice("mqtt.password", "most brokers refuse a password without a username")
    if mqtt.tls_files and mqtt.tls_files.certificate:
        yield from _certificate_expiry(mqtt.tls_files.certificate)


def _certificate_expiry(certificate: Path) -> Iterator[Advice]:
    """A warning if the client's certificate expires soon or has expired."""
    end, now = expires_at(certificate), datetime.now(UTC)
    if end is None or end - now >= SOON:
        return
    if end <= now:
        said = f"expired on {end:%Y-%m-%d}, so the broker will refuse it; renew it"
    else:
        said = f"expires on {end:%Y-%m-%d}, and the broker will refuse it from then on; renew it"
    yield Advice("mqtt.tls.certificate", said)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.rstrip(".").lower() == "localhost"


def _detector(config: Config) -> Iterator[Advice]:
    yield from (
        Advice("detector.confidence", said)
        for said in _confidence(config.detector.confidence, config)
    )
    yield from model_advice(config)
    if config.detector.model not in MODELS and not _is_there(Path(config.detector.model)):
        yield Advice("detector.model", f"the file {config.detector.model} does not exist now")
    encoder = config.detector.text_encoder
    if encoder and encoder not in ENCODERS and not _is_there(Path(encoder) / "config.json"):
        yield Advice("detector.text_encoder", f"there is no model in the folder {encoder} now")


def model_advice(config: Config) -> Iterator[Advice]:
    """A warning if toybox, which is for trying things out, is used with real cameras."""
    real = [
        name for name, camera in config.cameras.items() if camera.enabled and camera.kind != "file"
    ]
    if config.detector.model == "toybox" and real:
        yield Advice(
            "detector.model",
            "toybox knows drawn scenes only and sees little in real pictures, as of "
            f"{shortened(real, 'and')}; for those run `streamwatch models pull {RECOMMENDED}` and "
            f"write detector.model: {RECOMMENDED}",
        )


def _confidence(confidence: float | None, config: Config) -> Iterator[str]:
    if confidence is None:
        return
    if confidence < HARDLY_SURE * config.detector.usual_confidence:
        yield f"{confidence:g} is so low that many alerts will be false"
    elif confidence > TOO_SURE:
        yield f"{confidence:g} is so high that hardly anything will be reported"


def _camera(camera: CameraSettings) -> Iterator[tuple[str, str]]:
    """(key below the camera, message)."""
    if camera.kind == "file":
        if not camera.url.startswith("bundled:") and not _is_there(Path(camera.url)):
            there = "is no regular file" if _is(Path(camera.url), Path.exists) else "does not exist"
            yield ".url", f"the file {mask_url(camera.url)} {there} now"
        return
    if "pace" in camera.model_fields_set:
        yield ".pace", "without effect: it is for files"
    if "loop" in camera.model_fields_set and camera.kind != "http":
        yield ".loop", "without effect: it is for files and recordings on the web"
    yield from login_advice(camera)
    if camera.kind != "device" and "@" in urlsplit(camera.url).path:
        yield (
            ".url",
            "an @ behind the first slash: where it belongs to the password, write %2F for the "
            "slash and %40 for an @ within",
        )
    if is_encrypted(camera.url) and not is_certified(camera.url):
        yield (
            ".url",
            f"the certificate of {urlsplit(camera.url).hostname} is not verified, since no "
            "authority certifies hosts of a home network: what it sends is encrypted, but keep to "
            "a network you trust",
        )


def _is_there(path: Path) -> bool:
    return _is(path, Path.is_file)


def _is(path: Path, kind: Callable[[Path], bool]) -> bool:
    try:
        return kind(path)
    except OSError:  # name too long, or no permission for a parent folder
        return False


def _watch(config: Config, name: str) -> Iterator[tuple[str, str]]:
    """(key below the watch, message)."""
    watch = config.watches[name]
    if watch.confidence != "auto":
        yield from ((".confidence", said) for said in _confidence(watch.confidence, config))
    if config.detector.model == "toybox":
        for prompt in watch.prompt:
            if len(prompt.split()) > TOYBOX_WORDS:
                yield (
                    ".prompt",
                    f"'{prompt}' is long: with toybox more than {TOYBOX_WORDS} words score low",
                )
    if "near" in watch.model_fields_set and not watch.companions:
        yield ".near", "without effect: it goes with with or without"
    cameras = config.cameras_of(name)
    applies = frozenset(cameras)
    skipped = [other for other in watch.cameras or config.cameras if other not in applies]
    if watch.zones is not None and skipped:
        zones = listing(watch.zones, "and")
        yield ".zones", f"skips {shortened(skipped, 'and')}, where no zone is named {zones}"
    running = [camera for camera in cameras if config.cameras[camera].enabled]
    if watch.enabled and not running:
        yield "", "never applies: every camera it is for is disabled"
    yield from _times(watch, [config.cameras[camera].fps for camera in running])


def _times(watch: WatchSettings, rates: list[float]) -> Iterator[tuple[str, str]]:
    slowest = min(rates, default=None)
    if slowest and watch.leave.total_seconds() < 1 / slowest:
        yield (
            ".leave",
            f"{duration_text(watch.leave)} is less than the time between two frames at "
            f"{slowest:g} fps: every frame will be a visit of its own",
        )
    if watch.cooldown.days >= 1:
        yield ".cooldown", f"after each visit nothing is told for {duration_text(watch.cooldown)}"


def _cameras_without_watch(config: Config) -> Iterator[Advice]:
    if any(watch.enabled for watch in config.watches.values()):
        watches = config.watches_by_camera()
        for name, camera in config.cameras.items():
            if camera.enabled and not watches[name]:
                yield Advice(f"cameras.{name}", "no watch applies: it is read for nothing")


def readable_passwords(file: Path) -> list[Advice]:
    """The passwords in a file that every user of the machine can read."""
    if not file.is_file() or not file.stat().st_mode & stat.S_IROTH:
        return []
    return [
        Advice(
            path_text(loc),
            f"every user of this machine can read the password; `chmod 600 {file}`, or keep "
            "it elsewhere and write ${NAME}, ${file:PATH} or ${credential:NAME}",
        )
        for loc, entry in parse(file).entries.items()
        if is_secret(loc) or holds_password(entry.written)
        if entry.kind == "text" and not holds_reference(entry.written)
    ]
