"""Certifying what a lab handed over: clause by clause of a file of rules."""
