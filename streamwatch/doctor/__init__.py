"""Looks at everything that a working installation needs, and tells what must be done.

for check in examine(path):       # a `Check` each, as it is found; raises nothing
    …
"""

from streamwatch.doctor.check import Check
from streamwatch.doctor.examination import examine

__all__ = ["Check", "examine"]
