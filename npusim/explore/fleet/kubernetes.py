"""A fleet as manifests for Kubernetes: a Deployment of its instances, how many run at which load, how many may be down.

apps/v1 Deployment, autoscaling/v2 HorizontalPodAutoscaler, policy/v1 PodDisruptionBudget (kubernetes.io, API reference
of 1.23 and later). What no description tells is left out and said in an annotation.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import yaml

from npusim.errors import UserError
from npusim.explore.fleet.host_demand import HostDemand
from npusim.explore.fleet.option import FleetOption
from npusim.hardware.cluster import device_of

FOLDER = "kubernetes"
METRIC = "requests_in_flight"
"""What each instance must report for the autoscaler: its running and waiting requests."""
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}")
_LONGEST = 53
"""Letters of a name: a label has at most 63, of which a Deployment's pods take ten."""
_MILLI = 1e3
"""Thousandths of a core."""


def check_image(image: str) -> str:
    """The image as it is written. Raises UserError for what is no name of one."""
    if not _IMAGE.fullmatch(image):
        raise UserError("--image", "", f"'{image}' is no name of a container image; write registry/name:tag")
    return image


def manifest_of(option: FleetOption, model: str, image: str) -> str:
    """The YAML documents of a fleet. Raises UserError where the cluster's name of its cards is not known."""
    assert option.deployment is not None and option.host is not None
    device = device_of(option.deployment.system)
    if device is None:
        vendor = option.deployment.system.vendor
        raise UserError(
            "--emit", option.arch, f"the resource name of cards of {vendor} is unknown; add it to cluster/devices.yaml"
        )
    name = _name(f"{option.arch}-{model}")
    parts = [
        _deployment(option, name, image, device.resource, device.source),
        _autoscaler(option, name),
        _budget(option, name),
    ]
    return "---\n".join(yaml.safe_dump(each, sort_keys=False, allow_unicode=True, width=110) for each in parts)


def _name(text: str) -> str:
    """A DNS label (RFC 1123)."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:_LONGEST].strip("-") or "fleet"


def _deployment(option: FleetOption, name: str, image: str, resource: str, source: str) -> dict[str, Any]:
    assert option.host is not None
    cards = str(option.instance["cards"])
    labels = {"app.kubernetes.io/name": name}
    requests = {"cpu": f"{max(1, math.ceil(option.host.all_cores * _MILLI))}m", resource: cards}
    if option.host.memory_bytes is not None:
        requests["memory"] = str(round(option.host.memory_bytes))
    container = {"name": "server", "image": image, "resources": {"requests": requests, "limits": {resource: cards}}}
    spec = {
        "replicas": _replicas(option),
        "selector": {"matchLabels": dict(labels)},
        "template": {"metadata": {"labels": dict(labels)}, "spec": {"containers": [container]}},
    }
    notes = _notes(option.host) | {"npusim/device-name-source": source, "npusim/plan": str(option.instance["plan"])}
    metadata = {"name": name, "labels": labels, "annotations": notes}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def _notes(host: HostDemand) -> dict[str, str]:
    return {f"npusim/unknown-{name.replace('_', '-')}": reason for name, reason in host.unknown.items()}


def _replicas(option: FleetOption) -> int:
    """All instances, those of spare servers included."""
    return round(option.value("servers") * option.instance["per_server"])


def _autoscaler(option: FleetOption, name: str) -> dict[str, Any]:
    """As many instances as keep the requests in flight of each at those of the planned load."""
    assert option.day is not None
    quiet = float(option.day.requests_per_s.min() / option.value("requests_per_s"))
    each = max(1, math.floor(option.instance["requests_in_flight"] * option.instance["planned_load"]))
    target = {"type": "AverageValue", "averageValue": str(each)}
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "minReplicas": max(1, math.ceil(option.value("instances") * quiet)),
        "maxReplicas": _replicas(option),
        "metrics": [{"type": "Pods", "pods": {"metric": {"name": METRIC}, "target": target}}],
    }
    return {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": name}, "spec": spec}


def _budget(option: FleetOption, name: str) -> dict[str, Any]:
    spare: Mapping[str, Any] = {
        "maxUnavailable": max(1, round(option.spare_servers * option.instance["per_server"])),
        "selector": {"matchLabels": {"app.kubernetes.io/name": name}},
    }
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name}, "spec": dict(spare)}
