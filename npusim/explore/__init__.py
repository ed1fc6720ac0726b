"""Design spaces: sweeps, proposals, and designs with and without PIM."""
