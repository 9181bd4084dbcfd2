"""What is known without asking the database, and while it holds."""
