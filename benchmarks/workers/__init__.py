"""What is measured of ours, each in a process of its own."""
