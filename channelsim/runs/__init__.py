"""Runs as folders: created, resumed, recomputed, estimated beforehand."""
