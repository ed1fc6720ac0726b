"""What labs hand over: reading, checking, registering and scoring it."""
