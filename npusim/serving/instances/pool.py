"""A pool: so many servers of one deployment."""

from __future__ import annotations

from dataclasses import dataclass, replace

from npusim.mapping.deployment import Deployment
from npusim.serving.instances.simulate import replicas_of


@dataclass(frozen=True)
class Pool:
    """So many instances of a deployment (times its replicas)."""

    deployment: Deployment
    count: int

    @property
    def instances(self) -> list[Deployment]:
        """A deployment for each."""
        return replicas_of(self.deployment, self.count)

    def on(self, drawn: Deployment) -> Pool:
        """The pool on other numbers."""
        return replace(self, deployment=drawn)
