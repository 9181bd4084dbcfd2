"""How components that shorten contexts do on recorded conversations."""
