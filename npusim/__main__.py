"""`python -m npusim` is the command `npusim`."""

import sys

from npusim.cli.main import main

sys.exit(main())
