"""The one door through which npusim reads files: within limits, and with a record of what was read.

`record` says which files were read and with what content; `files` reads bytes and text; each format has a module.
"""

from npusim.inputs.files import is_file, is_folder, read_bytes, read_text
from npusim.inputs.record import InputFile, Recording, aside, opened, recording, remembered, remembered_last, touch
from npusim.inputs.yaml_tree import marked_tree, plain_tree, read_tree

__all__ = [
    "InputFile",
    "Recording",
    "aside",
    "is_file",
    "is_folder",
    "marked_tree",
    "opened",
    "plain_tree",
    "read_bytes",
    "read_text",
    "read_tree",
    "recording",
    "remembered",
    "remembered_last",
    "touch",
]
