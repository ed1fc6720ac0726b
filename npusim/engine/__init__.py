"""Steps on a chip: analytic by closed forms, or event by event."""
