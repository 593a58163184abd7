"""streamwatch tells people over MQTT when something they described in words appears.

The main loop, once the wiring is taken away:

    for batch in batches:                            # the newest frame of each due camera
        for frame, detections in detector.detect(batch):
            for event in watches[frame.camera].update(frame, detections):
                publisher.event(event)

From Python: `from streamwatch import Detector, Pipeline`.
"""

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from streamwatch.errors import StreamwatchError
from streamwatch.paths import cache_dir

if TYPE_CHECKING:
    from streamwatch.python import Detector, Pipeline

__all__ = ["Detector", "Pipeline", "__version__"]
__version__ = "0.1.0"

# Ultralytics reads these when it is first imported, wherever that is. It must never install or
# fetch at run time, nor chatter, nor write into a home folder that a service does not have.
os.environ["YOLO_AUTOINSTALL"] = "false"
os.environ["YOLO_OFFLINE"] = "true"
os.environ["YOLO_VERBOSE"] = "false"
with suppress(StreamwatchError):  # a user without a home; it then takes a temporary folder
    os.environ["YOLO_CONFIG_DIR"] = str(cache_dir())

# OpenVINO reports each import of it to Google Analytics, and leaves a file in the home folder,
# unless this package of its own is missing.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]


def __getattr__(name: str) -> object:
    """PyTorch takes seconds to import, and most of the program does without it."""
    if name in ("Detector", "Pipeline"):
        from streamwatch import python

        return getattr(python, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
