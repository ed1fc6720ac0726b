"""What it runs on: descriptions of chips, memories, fabrics and runtimes, and their flat records."""
