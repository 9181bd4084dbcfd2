"""Making commits of what callers pass: checks, drafts, budgets, usage."""
