"""Writing a calibration calibration as YAML that a person can read and `load_calibration` reads back."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from npusim.errors import UserError
from npusim.hardware.calibration import Calibration

_WIDTH = 110


def require_writable(path: Path, place: str) -> None:
    """Raises UserError, told of `place`, where `path` cannot become a file."""
    if path.is_dir():
        raise UserError(place, "", f"{path} is a folder; give the name of a YAML file")
    if path.suffix not in {".yaml", ".yml"}:
        raise UserError(place, "", f"{path} is no YAML file; give a name that ends in .yaml")
    if not path.parent.is_dir():
        raise UserError(place, "", f"there is no folder {path.parent}; make it, or give another")


def write_calibration(calibration: Calibration, path: Path) -> None:
    """Write the calibration, one block a number; the file is whole or as it was. Raises UserError."""
    require_writable(path, str(path))
    writer = YAML()
    writer.width = _WIDTH
    writer.indent(mapping=2, sequence=4, offset=2)
    try:
        handle, draft = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    except OSError as error:
        raise UserError(str(path), "", f"cannot be written ({error.strerror}); give another folder") from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            writer.dump(_content(calibration), file)
        os.chmod(draft, 0o666 & ~_umask())
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise


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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
