"""Where commits are stored: the repositories, and their implementation over SQLite."""
