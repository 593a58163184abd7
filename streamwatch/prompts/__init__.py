"""From prompts to text vectors, and from those to the vocabulary of each camera."""
