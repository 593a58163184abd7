"""The configuration file: finding, reading and checking it; frozen settings for each stage.

path = config.find()
settings = config.load(path)        # raises ConfigError with all errors in the file
for advice in config.warnings(settings, path):
    …
"""

from streamwatch.config.advice import (
    Advice,
    model_advice,
    placed,
    prompt_advice,
    readable_passwords,
    warnings,
)
from streamwatch.config.document.edits import Amend, Edit, Put, Remove, Section, Switch
from streamwatch.config.document.positions import printable
from streamwatch.config.fingerprint import config_hash
from streamwatch.config.following import POLL_SECONDS, SavedFile, SavedPictures
from streamwatch.config.last_good import keep_last_good, load_last_good
from streamwatch.config.loading import find, load, located, text_of
from streamwatch.config.pace_advice import too_slow
from streamwatch.config.problems import first_mistake
from streamwatch.config.saving import Hunk, Preview, persist, preview, with_picture, written_watch
from streamwatch.config.schema import schema
from streamwatch.config.sections.camera import CameraSettings
from streamwatch.config.sections.detector import DetectorSettings
from streamwatch.config.sections.http import HttpSettings
from streamwatch.config.sections.mqtt import TLS_PORT, MqttSettings, OutboxSettings
from streamwatch.config.sections.notify import NotifySettings
from streamwatch.config.sections.second_look import SecondLookSettings
from streamwatch.config.sections.watch import AppearSettings, WatchSettings
from streamwatch.config.sections.whole import (
    ClipSettings,
    Config,
    LogSettings,
    NearMissSettings,
    SnapshotSettings,
    clip_folder,
    near_miss_folder,
    snapshot_folder,
)
from streamwatch.config.summary import describe
from streamwatch.config.values.addresses import (
    bracketed,
    host_and_port,
    is_certified,
    is_encrypted,
    with_credentials,
    with_short_login,
)
from streamwatch.config.values.hours import Hours
from streamwatch.config.values.paths import Reading, SeenPictures
from streamwatch.config.values.phrases import folded, normalised, words
from streamwatch.config.values.pictures import (
    MOST_PICTURE_BYTES,
    PicturePrompt,
    PromptPicture,
    holds_pictures,
    texts_among,
)
from streamwatch.config.values.templates import filled
from streamwatch.config.values.texts import NAME_PATTERN, as_list, line
from streamwatch.config.wording import Wrong, did_you_mean, listing
from streamwatch.masking import mask_secrets_in, mask_url

__all__ = [
    "MOST_PICTURE_BYTES",
    "NAME_PATTERN",
    "POLL_SECONDS",
    "TLS_PORT",
    "Advice",
    "Amend",
    "AppearSettings",
    "CameraSettings",
    "ClipSettings",
    "Config",
    "DetectorSettings",
    "Edit",
    "Hours",
    "HttpSettings",
    "Hunk",
    "LogSettings",
    "MqttSettings",
    "NearMissSettings",
    "NotifySettings",
    "OutboxSettings",
    "PicturePrompt",
    "Preview",
    "PromptPicture",
    "Put",
    "Reading",
    "Remove",
    "SavedFile",
    "SavedPictures",
    "SecondLookSettings",
    "Section",
    "SeenPictures",
    "SnapshotSettings",
    "Switch",
    "WatchSettings",
    "Wrong",
    "as_list",
    "bracketed",
    "clip_folder",
    "config_hash",
    "describe",
    "did_you_mean",
    "filled",
    "find",
    "first_mistake",
    "folded",
    "holds_pictures",
    "host_and_port",
    "is_certified",
    "is_encrypted",
    "keep_last_good",
    "line",
    "listing",
    "load",
    "load_last_good",
    "located",
    "mask_secrets_in",
    "mask_url",
    "model_advice",
    "near_miss_folder",
    "normalised",
    "persist",
    "placed",
    "preview",
    "printable",
    "prompt_advice",
    "readable_passwords",
    "schema",
    "snapshot_folder",
    "text_of",
    "texts_among",
    "too_slow",
    "warnings",
    "with_credentials",
    "with_picture",
    "with_short_login",
    "words",
    "written_watch",
]
