"""How robust a receiver was, and how sure that is."""
