"""Model files: which a configuration needs, where they are; fetching and verifying them."""
