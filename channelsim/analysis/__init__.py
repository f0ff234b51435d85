"""Analysis of a run: how robust receivers were, with intervals."""
