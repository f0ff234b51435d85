"""The pieces of training: recipe, objective, checkpoint, and what is measured at the end."""
