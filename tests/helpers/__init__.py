"""What several tests are written with; nothing here is a test."""
