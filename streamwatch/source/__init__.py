"""Camera sources: open, decode, retry; the newest due frame of each camera waits in its slot.

condition = threading.Condition()
slot = Slot(condition)
capture = Capture("porch", settings, slot=slot, due=rate.due, on_problem=report)
capture.start()
with condition:
    condition.wait_for(lambda: (frame := slot.take()) or slot.drained)
"""

from streamwatch.source.capture import Capture
from streamwatch.source.choice import MakeSource, source_for
from streamwatch.source.clock import Clock
from streamwatch.source.copies import no_clips, unfit_codec
from streamwatch.source.protocol import Decoded, Source
from streamwatch.source.slot import Slot
from streamwatch.source.trial import Found, Trial

__all__ = [
    "Capture",
    "Clock",
    "Decoded",
    "Found",
    "MakeSource",
    "Slot",
    "Source",
    "Trial",
    "no_clips",
    "source_for",
    "unfit_codec",
]
