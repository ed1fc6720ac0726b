"""Self-contained HTML reports: one file with its charts, tables, assumptions and manifest, without the network."""
