"""The event plane of a run: timing of all transmissions, and batching of their computation."""
