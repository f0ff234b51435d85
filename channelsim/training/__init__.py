"""Training of codecs and classifiers: recipe, objective, checkpoint, and final measurements."""
