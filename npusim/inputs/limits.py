"""How large what is asked for may be: beyond it a number is mistaken, or the work never ends."""

MOST = 10**7
"""Tokens of a request, rows, widths that no other limit holds."""
MOST_USERS = 16_384
"""Users of one server."""
MOST_BATCH = 65_536
"""Sequences of one step."""
MOST_REQUESTS = 1_000_000
"""Requests of one run."""
MOST_BLOCKS = 2 * 10**7
"""Blocks of all prompts of a load."""
MOST_COUNT = 10**9
"""Whole numbers on the command line that no other limit holds."""
MOST_INSTANCES = 1024
"""Servers that share the requests of one run."""
