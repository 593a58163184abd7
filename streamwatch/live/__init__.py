"""What cameras show now, for those who look."""
