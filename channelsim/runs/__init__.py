"""Runs as folders: made, resumed, computed again, estimated beforehand."""
