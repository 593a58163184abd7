"""What the watches learn from what they see, and what people teach them."""
