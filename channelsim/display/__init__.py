"""The displays of a run: progress, live view, summary tables."""
