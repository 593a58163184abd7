"""Clips: a visit's video with what went before, written as the camera sent it."""
