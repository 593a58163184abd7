"""The broker: how it is reached, and what goes there and comes back."""
