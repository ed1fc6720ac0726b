"""Compiled costs of operators: seconds a resource, joules."""
