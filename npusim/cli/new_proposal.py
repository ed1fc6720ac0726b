"""`npusim new-proposal`: the criteria of a call as a proposal to begin from."""

from __future__ import annotations

from npusim import api
from npusim.api.new_proposals import NewProposalOptions
from npusim.cli.options import command
from npusim.cli.output import print_json, stdout_console


@command(NewProposalOptions, "new-proposal")
def new_proposal(asked: NewProposalOptions, as_json: bool) -> None:
    """Write a proposal with the criteria of a call, to be changed: claims, weighted targets, milestones.

    Templates: communication-library, dnn-snn-hybrid, k-cloud, lpddr6-pim-accelerator, neuromorphic-1pops,
    on-device-20b, optical-interface, pim, single-server-8b.
    """
    found = api.new_proposal.of(asked)
    if as_json:
        print_json({**found.answer, "manifest": found.manifest})
    else:
        stdout_console().print(f"Written: {found.path}.", soft_wrap=True)
