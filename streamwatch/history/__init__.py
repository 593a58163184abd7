"""What was told, kept for the page."""
