"""What a part is, and what travels between parts: contracts, rows, keys, events, the header."""
