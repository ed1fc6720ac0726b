"""Writing a timeline as a file: Perfetto's own protobuf format, or Chrome's JSON where the name ends in .json.

Both open in https://ui.perfetto.dev. Formats: perfetto.dev/docs/reference/synthetic-track-event; "Trace Event Format"
of the Chromium project.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from npusim.engine.event.timeline import Timeline
from npusim.publish import publish_file
from npusim.units import NS_PER_S, US_PER_S

_JSON = ".json"
_ROOT, _PROCESS = 1, 1


def write_trace(timeline: Timeline, path: Path, title: str) -> None:
    """Write `timeline` to `path`, whose suffix says in which format; `title` names the process in it.

    The file is whole or as it was. Raises UserError.
    """
    if path.suffix == _JSON:
        publish_file(path, json.dumps({"traceEvents": list(_chrome(timeline, title))}), "--trace")
    else:
        publish_file(path, _perfetto(timeline, title), "--trace")


def _perfetto(timeline: Timeline, title: str) -> bytes:
    """The timeline as a serialised perfetto.protos.Trace: tracks, slices with flows, counters."""
    from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import TrackEvent
    from perfetto.trace_builder.proto_builder import TraceProtoBuilder

    builder = TraceProtoBuilder()
    root = builder.add_packet().track_descriptor
    root.uuid, root.process.pid, root.process.process_name = _ROOT, _PROCESS, title
    identity = {name: _ROOT + 1 + position for position, name in enumerate([*timeline.tracks, *timeline.counters])}
    for name, uuid in identity.items():
        track = builder.add_packet().track_descriptor
        track.uuid, track.parent_uuid, track.name, track.sibling_order_rank = uuid, _ROOT, name, uuid
        if name in timeline.counters:
            track.counter.SetInParent()
    outgoing, incoming = _flows(timeline)
    for time_ns, moment in _moments(timeline):
        packet = builder.add_packet()
        packet.timestamp, packet.trusted_packet_sequence_id = time_ns, _PROCESS
        event = packet.track_event
        event.track_uuid = identity[moment.track]
        if moment.value is not None:
            event.type, event.double_counter_value = TrackEvent.TYPE_COUNTER, moment.value
        elif moment.opens:
            span = timeline.spans[moment.span]
            event.type, event.name = TrackEvent.TYPE_SLICE_BEGIN, span.name
            event.flow_ids.extend(outgoing[moment.span])
            event.terminating_flow_ids.extend(incoming[moment.span])
            for key, value in span.details.items():
                note = event.debug_annotations.add()
                note.name, note.double_value = key, float(value)
        else:
            event.type = TrackEvent.TYPE_SLICE_END
    return builder.serialize()


class _Moment(NamedTuple):
    """The beginning or end of a span, or a value of a counter."""

    track: str
    span: int
    opens: bool
    value: float | None


def _moments(timeline: Timeline) -> list[tuple[int, _Moment]]:
    """All moments with their times in ns, in order of time; those of one track stay in their own order."""
    found = []
    for position in sorted(range(len(timeline.spans)), key=lambda position: timeline.spans[position].begin_s):
        span = timeline.spans[position]
        found.append((round(span.begin_s * NS_PER_S), _Moment(span.track, position, True, None)))
        found.append((round(span.end_s * NS_PER_S), _Moment(span.track, position, False, None)))
    for name, history in timeline.counters.items():
        found += [(round(time * NS_PER_S), _Moment(name, -1, False, value)) for time, value in history]
    return sorted(found, key=lambda item: item[0])


def _flows(timeline: Timeline) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    """Numbers of the arrows that leave and that reach each span."""
    outgoing, incoming = defaultdict(list), defaultdict(list)
    for number, arrow in enumerate(timeline.arrows, start=1):
        outgoing[arrow.source].append(number)
        incoming[arrow.target].append(number)
    return outgoing, incoming


def _chrome(timeline: Timeline, title: str) -> Iterator[dict[str, Any]]:
    """The timeline as events of Chrome's format: complete events, flows, counters, names."""
    common = {"pid": _PROCESS}
    thread = {name: position for position, name in enumerate(timeline.tracks, start=1)}
    yield {**common, "ph": "M", "name": "process_name", "args": {"name": title}}
    for name, tid in thread.items():
        yield {**common, "ph": "M", "tid": tid, "name": "thread_name", "args": {"name": name}}
        yield {**common, "ph": "M", "tid": tid, "name": "thread_sort_index", "args": {"sort_index": tid}}
    for span in timeline.spans:
        begin, lasts = span.begin_s * US_PER_S, (span.end_s - span.begin_s) * US_PER_S
        where = {**common, "tid": thread[span.track], "ts": begin}
        yield {**where, "ph": "X", "dur": lasts, "name": span.name, "cat": span.track, "args": span.details}
    for number, arrow in enumerate(timeline.arrows, start=1):
        source, target = timeline.spans[arrow.source], timeline.spans[arrow.target]
        flow = {**common, "cat": "waits", "name": "waits", "id": number}
        yield {**flow, "ph": "s", "tid": thread[source.track], "ts": source.end_s * US_PER_S}
        yield {**flow, "ph": "f", "bp": "e", "tid": thread[target.track], "ts": target.begin_s * US_PER_S}
    for name, history in timeline.counters.items():
        for time, value in history:
            yield {**common, "ph": "C", "ts": time * US_PER_S, "name": name, "args": {"value": value}}
