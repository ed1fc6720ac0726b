"""Writing a calibration calibration as YAML that a person can read and `load_calibration` reads back."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from npusim.hardware.calibration import Calibration
from npusim.publish import publish_file

_WIDTH = 110


def write_calibration(calibration: Calibration, path: Path) -> None:
    """Write the calibration, one block a number; the file is whole or as it was. Raises UserError."""
    writer, text = YAML(), io.StringIO()
    writer.width = _WIDTH
    writer.indent(mapping=2, sequence=4, offset=2)
    writer.dump(_content(calibration), text)
    publish_file(path, text.getvalue())


def _content(calibration: Calibration) -> CommentedMap:
    plain = calibration.model_dump(mode="json")
    content = CommentedMap(plain | {"correlation": [_on_one_line(row) for row in plain["correlation"]]})
    for name in ("numbers", "correlation", "residuals", "left_out"):
        content.yaml_set_comment_before_after_key(name, before=_COMMENTS[name])
    return content


_COMMENTS = {
    "numbers": "low to high holds 90 % of the posterior; identified: posterior over prior standard deviation",
    "correlation": "of the numbers' posterior, in their order: the lower triangle without the diagonal",
    "residuals": "90 % half-widths of log(measured / predicted) on groups of runs that were left out",
    "left_out": "errors on those groups, with 90 % bounds of a bootstrap over groups",
}


def _on_one_line(row: list[Any]) -> CommentedSeq:
    line = CommentedSeq(row)
    line.fa.set_flow_style()
    return line
