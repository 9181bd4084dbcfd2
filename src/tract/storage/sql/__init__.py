"""Statements and transactions, written against the tables of `storage.schema`."""
