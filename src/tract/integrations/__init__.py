"""Stores for the agent frameworks; each module stands alone and needs the extra of its framework."""
