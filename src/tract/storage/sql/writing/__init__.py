"""What a transaction writes; runs where the connection does."""
