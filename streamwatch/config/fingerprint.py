"""A short hash of the settings in force, to compare daemons."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from streamwatch.config.sections.whole import Config
from streamwatch.masking import SECRET_KEYS, mask_url


def config_hash(config: Config) -> str:
    """12 hex digits of a SHA-256 over all settings, defaults included, secrets excluded.

    Passwords are dropped and URLs masked, queries included, so the hash neither depends on a
    password nor reveals anything about it.
    """
    effective = _without_secrets(config.model_dump(mode="json", by_alias=True))
    text = json.dumps(effective, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: mask_url(item) if key == "url" and item is not None else _without_secrets(item)
            for key, item in value.items()
            if key not in SECRET_KEYS
        }
    return value
