"""The contracts of parts, and the data that travel between them: rows, keys, events, the header."""
