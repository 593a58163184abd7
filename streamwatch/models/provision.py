"""The files that a configuration's model and text encoder need: which, where, and fetching them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from streamwatch import files
from streamwatch.config import DetectorSettings
from streamwatch.config.catalogue import (
    ENCODERS,
    FOLDER_IMAGES,
    FOLDER_NETWORK,
    FOLDERS,
    MODELS,
    Asset,
    EncoderKind,
    HubFolder,
    ImageTower,
    Local,
    NetworkKind,
    Source,
)
from streamwatch.errors import DetectorError
from streamwatch.models.fetching import Progress, megabytes
from streamwatch.models.store import Missing, Store, default_store

log = logging.getLogger(__name__)

LARGEST_CONFIG = 1_000_000
"""Most bytes of an encoder's config.json; real ones have 5,000."""

PATH_IMAGE_SIZE = 640
"""Longer side in pixels for a checkpoint given by its path: that of the official checkpoints."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A model or text encoder file (or folder) that a configuration needs.

    `key` is the configuration key that names it, `pull` the argument of `streamwatch models pull`
    that fetches it.
    """

    key: str
    source: Source
    pull: str


@dataclass(frozen=True, slots=True)
class Choice:
    """What a configuration's `detector` section names; nothing is looked up on disk."""

    checkpoint: Piece
    network: NetworkKind
    encoder: tuple[Piece, ...]
    """One or more, in the order that its kind expects."""
    encoder_kind: EncoderKind | None
    """None for a folder, whose config.json names it."""
    image_size: int
    """Longer side, in pixels."""

    @property
    def pieces(self) -> tuple[Piece, ...]:
        return self.checkpoint, *self.encoder


def choose(settings: DetectorSettings) -> Choice:
    """The model, text encoder and image size of `settings`, defaults filled in."""
    model = MODELS.get(settings.model)
    name = settings.encoder_name
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
    """What would have to be fetched for `settings`. Quick: verifies no checksum."""
    return [
        piece.source
        for piece in choose(settings).pieces
        if isinstance(piece.source, (Asset, HubFolder)) and not store.is_here(piece.source)
    ]


def provide(settings: DetectorSettings, store: Store, progress: Progress) -> None:
    """Verify all files that `settings` need, and fetch the missing ones unless `offline`.

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
    """Fetch the missing files of a model or text encoder by its name. Raises DetectorError."""
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
    """Log what is missing and why, and fetch it."""
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
    """Whether the files of the text encoder exist. Quick: verifies no checksum."""
    return all(default_store().is_here(piece.source) for piece in choose(settings).encoder)


def identify_encoder(settings: DetectorSettings) -> tuple[EncoderKind, str]:
    """The kind of the text encoder of `settings`, and a fingerprint that changes with its files.

    Quick: reads no weights. Raises DetectorError.
    """
    choice = choose(settings)
    fingerprints = " ".join(map(_fingerprint, choice.encoder))
    return choice.encoder_kind or _kind_of(found(choice.encoder[0])), fingerprints


def identify_checkpoint(settings: DetectorSettings) -> str:
    """A fingerprint of the checkpoint of `settings` that changes with it. Quick: reads no weights.
    Raises DetectorError."""
    return _fingerprint(choose(settings).checkpoint)


def _fingerprint(piece: Piece) -> str:
    with _pull_hint_added(piece), _key_added(piece):
        return default_store().fingerprint(piece.source)


def encoder_row(settings: DetectorSettings) -> str:
    """The row of `catalogue.ENCODERS` that describes the text encoder of `settings`.

    For a folder the row of its kind. Raises DetectorError if it holds none.
    """
    name = settings.encoder_name
    return name if name in ENCODERS else identify_encoder(settings)[0]


def find_encoder(settings: DetectorSettings) -> tuple[Path, ...]:
    """The paths of the text encoder's files, verified. Raises DetectorError; never fetches."""
    return tuple(found(piece) for piece in choose(settings).encoder)


def image_tower(settings: DetectorSettings) -> tuple[ImageTower, Path]:
    """The image tower of the text encoder of `settings`, and the path of its file or folder.

    Verified. Raises DetectorError, also where the encoder has none; never fetches.
    """
    row = ENCODERS[encoder_row(settings)].image
    (first, *_) = choose(settings).encoder
    if isinstance(first.source, Local):
        kind = FOLDER_IMAGES.get(_model_type(first.source.path))
        row = row if row is not None and kind == row.kind else None
        tower = None if row is None else replace(row, source=first.source)
    else:
        tower = row
    if tower is None:
        raise DetectorError(
            f"the text encoder {settings.encoder_name} has no image tower, which a second look by "
            "words needs"
        )
    return tower, found(replace(first, source=tower.source))


def _kind_of(folder: Path) -> EncoderKind:
    """The kind of the text encoder in a user's own folder, by `model_type` in its config.json."""
    kind = _model_type(folder)
    if kind not in FOLDERS:
        raise DetectorError(
            f"detector.text_encoder: {folder} holds a model of type {kind!r}; known are "
            f"{', '.join(FOLDERS)}"
        )
    return FOLDERS[kind]


def _model_type(folder: Path) -> str:
    try:
        kind: str = json.loads(files.read(folder / "config.json", LARGEST_CONFIG))["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DetectorError(
            f"detector.text_encoder: {folder} holds no text encoder: no config.json that says "
            "what it is"
        ) from error
    return kind


def found(piece: Piece) -> Path:
    """The path of `piece`, verified. Raises DetectorError; never fetches."""
    with _pull_hint_added(piece):
        return _find(piece, default_store())


@contextmanager
def _pull_hint_added(piece: Piece) -> Iterator[None]:
    """Turn Missing into a DetectorError that names the command to fetch it."""
    try:
        yield
    except Missing as error:
        raise DetectorError(f"{piece.key}: {error}; {_command(piece)} fetches it") from error


def _find(piece: Piece, store: Store) -> Path:
    with _key_added(piece):
        return store.find(piece.source)


@contextmanager
def _key_added(piece: Piece) -> Iterator[None]:
    """Prefix errors with the configuration key, but not Missing, which fetching may fix."""
    try:
        yield
    except Missing:
        raise
    except DetectorError as error:
        raise DetectorError(f"{piece.key}: {error}") from error


def _command(piece: Piece) -> str:
    return f"`streamwatch models pull {piece.pull}`"
