"""Helpers shared by several tests; nothing here is a test."""
