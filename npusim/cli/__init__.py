"""The command line: a module a command, each of which calls the Python interface and prints."""
