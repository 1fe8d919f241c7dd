"""What ours is measured against, each in a Python environment of its own."""
