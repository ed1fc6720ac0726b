"""What is asked of one chip: its prediction, its bottleneck, its description, its parts."""
