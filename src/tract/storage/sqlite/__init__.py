"""The repositories over SQLite: its files, connections and options."""
