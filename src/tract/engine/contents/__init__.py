"""Contents: which types a store knows, and how each is checked, loaded and shown to a model."""
