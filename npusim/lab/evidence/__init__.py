"""A folder of raw files to which entries are only ever added, and which anyone can verify."""
