"""Cameras, detector and watches of one configuration: events out."""
