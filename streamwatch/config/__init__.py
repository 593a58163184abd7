"""The configuration file: found, read, checked, and handed to each stage as frozen settings.

path = config.find()
settings = config.load(path)        # or ConfigError, with every problem of the file in it
for advice in config.warnings(settings, path):
    …
"""

from streamwatch.config.checks import Advice, describe, unfit_model, warnings
from streamwatch.config.edits import Edit, Put, Remove, Switch
from streamwatch.config.fingerprint import config_hash
from streamwatch.config.json_schema import schema
from streamwatch.config.last_good import keep_last_good, load_last_good
from streamwatch.config.loading import find, load, located, text_of
from streamwatch.config.models import (
    AppearSettings,
    CameraSettings,
    Config,
    DetectorSettings,
    HttpSettings,
    LogSettings,
    MqttSettings,
    OutboxSettings,
    SnapshotSettings,
    WatchSettings,
    snapshot_folder,
)
from streamwatch.config.persisting import persist
from streamwatch.config.secrets import mask_secrets_in, mask_url

__all__ = [
    "Advice",
    "AppearSettings",
    "CameraSettings",
    "Config",
    "DetectorSettings",
    "Edit",
    "HttpSettings",
    "LogSettings",
    "MqttSettings",
    "OutboxSettings",
    "Put",
    "Remove",
    "SnapshotSettings",
    "Switch",
    "WatchSettings",
    "config_hash",
    "describe",
    "find",
    "keep_last_good",
    "load",
    "load_last_good",
    "located",
    "mask_secrets_in",
    "mask_url",
    "persist",
    "schema",
    "snapshot_folder",
    "text_of",
    "unfit_model",
    "warnings",
]
