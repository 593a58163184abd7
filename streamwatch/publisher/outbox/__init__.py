"""Where alerts wait until the broker has acknowledged them."""
