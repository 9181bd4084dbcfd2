"""Statements and transactions, written for the tables of `storage.schema`."""
