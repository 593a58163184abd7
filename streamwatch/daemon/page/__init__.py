"""What the daemon answers its page."""
