"""A run from its first message to its last: who sends when, and blocks of rows to compute."""
