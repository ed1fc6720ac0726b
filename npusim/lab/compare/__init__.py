"""Comparing what two labs measured, cell by cell."""
