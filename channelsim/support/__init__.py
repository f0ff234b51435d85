"""The base of the package: errors, units, seeds, files, and the validation of input."""
