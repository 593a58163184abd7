"""The page: cameras, words, alerts and watches to look at in a browser."""
