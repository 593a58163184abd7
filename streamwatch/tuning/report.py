"""What a trial has found as one page of HTML that needs nothing else, no network either."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from streamwatch.tuning.document import with_thumbnails
from streamwatch.tuning.trial import Trial

PAGE = Path(__file__).with_name("report.html")


def report(document: Mapping[str, Any], trial: Trial) -> str:
    """The page; `document` is that of the trial."""
    # Within a script only `</` and `<!--` mean something, and names of files may hold them.
    found = json.dumps(with_thumbnails(document, trial), ensure_ascii=True).replace("<", "\\u003c")
    return PAGE.read_text(encoding="utf-8").replace("@FOUND@", found)
