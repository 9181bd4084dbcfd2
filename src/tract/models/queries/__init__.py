"""What callers ask of many commits, and what they get."""
