"""The file as text with places: read, expanded, edited, written back."""
