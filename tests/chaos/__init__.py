"""What wears a daemon down, as scripts that anyone can run; each says what it found."""
