"""Whether what somebody gave can be right, and what was meant."""
