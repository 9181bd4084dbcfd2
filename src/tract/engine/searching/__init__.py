"""Text search: the text of contents, ranking, and keeping the index up to date."""
