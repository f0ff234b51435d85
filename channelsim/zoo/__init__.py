"""Trained codecs that ship with the package: recipe, weights and card of each."""
