"""The files that a configuration takes, of its model and its text encoder: which and where."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from streamwatch.config import DetectorSettings
from streamwatch.config.catalogue import (
    ENCODERS,
    FOLDER_NETWORK,
    FOLDERS,
    MODELS,
    Asset,
    EncoderKind,
    HubFolder,
    Local,
    NetworkKind,
    Source,
)
from streamwatch.errors import DetectorError
from streamwatch.models.fetching import Progress, megabytes
from streamwatch.models.store import Missing, Store, default_store

log = logging.getLogger(__name__)

PATH_IMAGE_SIZE = 640
"""For a checkpoint that a path names: what the official ones were trained for."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One of the things a configuration takes: the key that asks for it, and its files.

    `pull` is what `streamwatch models pull` gets it by.
    """

    key: str
    source: Source
    pull: str


@dataclass(frozen=True, slots=True)
class Choice:
    """What a configuration's `detector` names, with nothing looked up yet."""

    checkpoint: Piece
    network: NetworkKind
    encoder: tuple[Piece, ...]
    """One or more, in the order in which its kind takes them."""
    encoder_kind: EncoderKind | None
    """None for a folder, which tells itself."""
    image_size: int

    @property
    def pieces(self) -> tuple[Piece, ...]:
        return self.checkpoint, *self.encoder


def choose(settings: DetectorSettings) -> Choice:
    """Which model, encoder and size `settings` mean."""
    model = MODELS.get(settings.model)
    name = settings.text_encoder or (model.encoder if model else "")
    encoder = ENCODERS.get(name)
    return Choice(
        Piece(
            "detector.model",
            model.checkpoint if model else Local(Path(settings.model)),
            settings.model,
        ),
        encoder.network if encoder else FOLDER_NETWORK,
        tuple(
            Piece("detector.text_encoder", source, settings.model if model else name)
            for source in (encoder.sources if encoder else (Local(Path(name)),))
        ),
        encoder.kind if encoder else None,
        settings.image_size or (model.image_size if model else PATH_IMAGE_SIZE),
    )


def to_fetch(settings: DetectorSettings, store: Store) -> list[Asset | HubFolder]:
    """What would have to be fetched for `settings`: a quick look, nothing is verified."""
    return [
        piece.source
        for piece in choose(settings).pieces
        if isinstance(piece.source, (Asset, HubFolder)) and not store.is_here(piece.source)
    ]


def provide(settings: DetectorSettings, store: Store, progress: Progress) -> None:
    """See to it that all that `settings` take is here and right; fetch it where that is allowed.

    Raises DetectorError.
    """
    for piece in choose(settings).pieces:
        try:
            _find(piece, store)
        except Missing as error:
            if settings.offline:
                raise DetectorError(
                    f"{piece.key}: {error}, and detector.offline forbids to fetch it; "
                    f"{_command(piece)} does"
                ) from error
            try:
                _fetch(error, store, progress)
            except DetectorError as failed:
                raise DetectorError(
                    f"{piece.key}: {failed}; {_command(piece)} tries again"
                ) from failed


def pull(name: str, store: Store, progress: Progress) -> None:
    """Fetch what of a model (or of a text encoder) is not here. Raises DetectorError."""
    if name in ENCODERS:
        sources = [*ENCODERS[name].sources]
    else:
        sources = [piece.source for piece in choose(DetectorSettings(model=name)).pieces]
    for source in sources:
        try:
            store.find(source)
        except Missing as error:
            _fetch(error, store, progress)


def _fetch(missing: Missing, store: Store, progress: Progress) -> None:
    """Say what is missing and why, and fetch it."""
    source = missing.source
    log.log(
        logging.WARNING if store.is_here(source) else logging.INFO,
        "%s; fetching %s from %s",
        missing,
        megabytes(source.size),
        store.origin(source),
    )
    store.fetch(source, progress)


def encoder_is_here(settings: DetectorSettings) -> bool:
    """Whether the files of the text encoder are there, right or not: a quick look."""
    return all(default_store().is_here(piece.source) for piece in choose(settings).encoder)


def identify_encoder(settings: DetectorSettings) -> tuple[EncoderKind, str]:
    """How the text encoder of `settings` is used, and what differs where its files do.

    A quick look, which reads no weights. Raises DetectorError.
    """
    choice = choose(settings)
    fingerprints = []
    for piece in choice.encoder:
        with _told_to_fetch(piece), _named(piece):
            fingerprints.append(default_store().fingerprint(piece.source))
    return choice.encoder_kind or _kind_of(found(choice.encoder[0])), " ".join(fingerprints)


def find_encoder(settings: DetectorSettings) -> tuple[Path, ...]:
    """Where the files of the text encoder are, verified. Raises DetectorError; never fetches."""
    return tuple(found(piece) for piece in choose(settings).encoder)


def _kind_of(folder: Path) -> EncoderKind:
    """What the text encoder in a folder of the person's own is."""
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DetectorError(
            f"detector.text_encoder: {folder} holds no text encoder: no config.json that says "
            "what it is"
        ) from error
    if kind not in FOLDERS:
        raise DetectorError(
            f"detector.text_encoder: {folder} holds a model of type {kind!r}; known are "
            f"{', '.join(FOLDERS)}"
        )
    return FOLDERS[kind]


def found(piece: Piece) -> Path:
    """Where its file is, verified. Raises DetectorError; never fetches."""
    with _told_to_fetch(piece):
        return _find(piece, default_store())


@contextmanager
def _told_to_fetch(piece: Piece) -> Iterator[None]:
    try:
        yield
    except Missing as error:
        raise DetectorError(f"{piece.key}: {error}; {_command(piece)} fetches it") from error


def _find(piece: Piece, store: Store) -> Path:
    with _named(piece):
        return store.find(piece.source)


@contextmanager
def _named(piece: Piece) -> Iterator[None]:
    """Put the key before what is wrong; Missing passes as it is, since it can be mended."""
    try:
        yield
    except Missing:
        raise
    except DetectorError as error:
        raise DetectorError(f"{piece.key}: {error}") from error


def _command(piece: Piece) -> str:
    return f"`streamwatch models pull {piece.pull}`"
