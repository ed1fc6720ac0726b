"""The event engine: an OpTable as commands on the queues of a contraction processor, in simulated time."""
