"""Where commits are kept: the repositories, and their SQLite form."""
