"""Fleets: from what users ask for to instances, servers, racks and watts."""
