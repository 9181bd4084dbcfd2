"""Branches and tags: creating, moving, merging, comparing and diffing them."""
