"""What each key of a description means: the sentences under the fields of the models, read from their source on demand.

Pydantic can read them while it builds a model (`use_attribute_docstrings`), but then every command waits for it.
"""

from __future__ import annotations

import ast
import inspect
from functools import cache
from itertools import pairwise

from pydantic import BaseModel


@cache
def field_docs(model: type[BaseModel]) -> dict[str, str]:
    """The sentence of each field of a model, its bases' fields included, by the field's name in their order."""
    told = {}
    for base in reversed(model.__mro__):
        if issubclass(base, BaseModel) and base is not BaseModel:
            (tree,) = ast.parse(inspect.getsource(base)).body
            assert isinstance(tree, ast.ClassDef)
            for field, text in pairwise(tree.body):
                match field, text:
                    case (
                        ast.AnnAssign(target=ast.Name(id=name)),
                        ast.Expr(value=ast.Constant(value=str(sentence))),
                    ):
                        told[name] = inspect.cleandoc(sentence).replace("\n", " ")
    return {name: told[name] for name in model.model_fields if name in told}


def sentence_at(description: BaseModel, path: str) -> str:
    """The sentence of the number at a dotted path of a description; a part of a list is found by its name, or
    by its number where it has none."""
    name, _, rest = path.partition(".")
    if not rest:
        return field_docs(type(description)).get(name, "")
    inner = getattr(description, name)
    if isinstance(inner, tuple) and isinstance(inner[0], BaseModel) and "." in rest:
        labels = {str(getattr(each, "name", place)): each for place, each in enumerate(inner)}
        label = next(each for each in labels if rest.startswith(f"{each}."))
        return sentence_at(labels[label], rest.removeprefix(f"{label}."))
    if isinstance(inner, tuple):
        return field_docs(type(description)).get(name, "")
    return sentence_at(inner, rest)
