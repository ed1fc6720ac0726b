"""What no chip can pass: a bound a file."""
