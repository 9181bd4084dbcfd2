"""What is known without asking the database, and for how long it holds."""
