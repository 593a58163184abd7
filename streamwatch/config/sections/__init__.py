"""One module a section of the file: its keys, their defaults and what they mean."""
