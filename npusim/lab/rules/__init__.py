"""What a lab's own figures say of each other: identities within a run, within its logs, over a sweep, over a lab."""
