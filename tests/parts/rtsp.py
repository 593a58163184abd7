"""A real RTSP server."""
