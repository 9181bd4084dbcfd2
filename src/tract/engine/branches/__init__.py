"""What passes between branches: merges and their conflicts, comparisons, differences."""
