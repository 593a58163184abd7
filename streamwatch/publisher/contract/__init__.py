"""What is promised to subscribers: topics, payloads, commands."""
