"""Many cameras on the detectors of many machines."""
