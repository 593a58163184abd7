"""streamwatch tells people over MQTT when something they described in words appears.

The main loop, once the wiring of `daemon.py` is taken away:

    for batch in scheduler:                          # the newest frame of each due camera
        for frame, detections in detector.detect(batch):
            for event in watches[frame.camera].update(frame, detections):
                publisher.publish(event)
"""

import os

__version__ = "0.1.0"

# Ultralytics reads these when it is first imported: it must never install or fetch at run time.
os.environ["YOLO_AUTOINSTALL"] = "false"
os.environ["YOLO_OFFLINE"] = "true"
