"""From what a caller gives to a commit that is written: checks, drafts, budgets, usage."""
