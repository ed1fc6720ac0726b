"""Models that are graphs: operators with their closed-form work, what a unit runs, and what the host costs."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from cli_support import mistake, process, tell
from graph_support import EXPORTED, Change, exported, open_dimension, resized

import npusim
from npusim.graphs import operators
from npusim.graphs.coverage import host_cost, placed_on
from npusim.graphs.graph import GraphNode, GraphTensor, ModelGraph
from npusim.graphs.operators import (
    UnitSupport,
    host_operators,
    kind_of_operator,
    operator_table,
    unit_kinds,
    unit_support,
)
from npusim.graphs.work import works_of
from npusim.hardware.catalog import load_system

F32, F16 = 32.0, 16.0


def _graph(
    nodes: list[GraphNode], shapes: dict[str, tuple[int, ...] | None], weights: set[str], **how: Any
) -> ModelGraph:
    tensors = {name: GraphTensor(shape, F32, name in weights) for name, shape in shapes.items()}
    return ModelGraph(how.get("dialect", "onnx"), tuple(nodes), tensors, (nodes[-1].outputs[0],))


def _work(op: str, shapes: list[tuple[int, ...]], result: tuple[int, ...], weights: int = 0, **how: Any) -> Any:
    """The work of one operator whose last `weights` inputs are weights."""
    names = [f"t{at}" for at in range(len(shapes))]
    stored = set(names[len(names) - weights :])
    node = GraphNode("it", op, tuple(names), ("out",), how.pop("attributes", {}))
    (work,) = works_of(_graph([node], dict(zip(names, shapes, strict=True)) | {"out": result}, stored, **how))
    return work


@pytest.mark.parametrize(
    ("op", "dialect", "shapes", "result", "attributes", "extents"),
    [
        ("MatMul", "onnx", [(2, 3, 8), (8, 5)], (2, 3, 5), {}, (6, 5, 8, 1)),
        ("MatMul", "onnx", [(2, 4, 3, 8), (2, 4, 8, 5)], (2, 4, 3, 5), {}, (3, 5, 8, 8)),
        ("MatMul", "onnx", [(4, 3, 8), (1, 8, 5)], (4, 3, 5), {}, (3, 5, 8, 4)),
        ("MatMul", "onnx", [(8,), (8, 5)], (5,), {}, (1, 5, 8, 1)),
        ("Gemm", "onnx", [(8, 3), (5, 8), (5,)], (3, 5), {"transA": 1, "transB": 1}, (3, 5, 8, 1)),
        ("com.microsoft.MatMulNBits", "onnx", [(2, 3, 8), (5, 1, 4)], (2, 3, 5), {"K": 8, "N": 5}, (6, 5, 8, 1)),
        ("linear", "aten", [(2, 3, 8), (5, 8)], (2, 3, 5), {}, (6, 5, 8, 1)),
        ("addmm", "aten", [(5,), (3, 8), (8, 5)], (3, 5), {}, (3, 5, 8, 1)),
        ("bmm", "aten", [(4, 3, 8), (4, 8, 5)], (4, 3, 5), {}, (3, 5, 8, 4)),
        ("Conv", "onnx", [(2, 6, 9, 9), (8, 3, 3, 3)], (2, 8, 7, 7), {"group": 2}, (98, 4, 27, 2)),
    ],
)
def test_products_have_their_extents(
    op: str, dialect: str, shapes: list[tuple[int, ...]], result: tuple[int, ...], attributes: Any, extents: Any
) -> None:
    work = _work(op, shapes, result, dialect=dialect, attributes=attributes)
    m, n, k, batch = extents
    assert (work.extents.m, work.extents.n, work.extents.k, work.extents.batch) == extents
    assert work.flops == 2 * m * n * k * batch


@pytest.mark.parametrize("grouped", [8, 2])
def test_attention_is_its_two_products_with_heads_shared_or_not(grouped: int) -> None:
    """Of 8 query heads: every one meets all keys, whatever the number of heads of keys."""
    shapes = [(2, 8, 3, 16), (2, grouped, 7, 16), (2, grouped, 7, 32)]
    work = _work("scaled_dot_product_attention", shapes, (2, 8, 3, 32), dialect="aten")
    assert work.flops == 2 * 2 * 8 * 3 * 7 * (16 + 32)
    assert work.input_bytes == 4 * sum(a * b * c * d for a, b, c, d in shapes)


def test_other_operators_count_elements_and_gathers_move_what_they_take() -> None:
    assert _work("Add", [(4, 8), (8,)], (4, 8), weights=1).flops == 32
    assert _work("ReduceSum", [(4, 8)], (4,)).flops == 32
    gather = GraphNode("it", "Gather", ("table", "at"), ("out",))
    graph = _graph([gather], {"table": (1000, 8), "at": (3,), "out": (3, 8)}, {"table"})
    (work,) = works_of(graph)
    assert (work.flops, work.weight_bytes, work.input_bytes, work.output_bytes) == (0, 32000, 12, 96)
    assert work.touched_bytes == 108
    view = _work("Reshape", [(4, 8)], (8, 4))
    assert (view.flops, view.input_bytes, view.output_bytes) == (0, 0, 0)


def test_groups_that_are_none_and_what_is_transposed_have_no_extents() -> None:
    for attributes in ({"group": 0}, {"group": -1}, {"transposed": 1}):
        work = _work("Conv", [(2, 6, 9, 9), (8, 3, 3, 3)], (2, 8, 7, 7), attributes=attributes)
        assert (work.extents, work.flops) == (None, None)


def test_a_shape_that_is_not_known_is_no_work_of_zero() -> None:
    node = GraphNode("it", "Add", ("a", "b"), ("out",))
    (work,) = works_of(_graph([node], {"a": (4,), "b": (4,), "out": None}, set()))
    assert (work.flops, work.output_bytes) == (None, None)
    (product,) = works_of(_graph([GraphNode("it", "MatMul", ("a", "b"), ("out",))], {"a": None, "b": (4, 4)}, set()))
    assert (product.extents, product.flops) == (None, None)
    mismatched = _work("MatMul", [(2, 3), (4, 5)], (2, 5))
    assert (mismatched.extents, mismatched.flops) == (None, None)


def _chain(*ops: str) -> ModelGraph:
    """A graph in which each operator reads the result of the one before; tensors of 1,024 x 1,024 elements."""
    shape = (1024, 1024)
    nodes = [GraphNode(f"n{at}", op, (f"t{at}",), (f"t{at + 1}",)) for at, op in enumerate(ops)]
    return _graph(nodes, {f"t{at}": shape for at in range(len(ops) + 1)}, set())


def test_the_part_of_the_host_costs_its_closed_form() -> None:
    """Each tensor crosses once a side; views stay where their tensor is; inputs and results are not its cost."""
    graph, link, host = (
        _chain("Relu", "TopK", "Reshape", "ArgMax", "Relu"),
        load_system("rngd").card.host_link,
        host_operators(),
    )
    works = works_of(graph)
    cost = host_cost(graph, placed_on(works, "contraction_processor"), link)
    size = 1024 * 1024 * 4
    assert (cost.operators, cost.transfers, cost.moved_bytes) == (2, 2, 2 * size)
    assert cost.link_s.value == pytest.approx(2 * (link.latency.value + size / link.rate_bytes_per_s))
    slow, quick = link.bandwidth.value * link.efficiency.low, link.bandwidth.value * link.efficiency.high
    assert cost.link_s.high == pytest.approx(2 * (link.latency.high + size / slow))
    assert cost.link_s.low == pytest.approx(2 * (link.latency.low + size / quick))
    touched = 2 * size
    assert cost.host_s.value == pytest.approx(2 * (host.dispatch.value + touched / host.memory_rate.value))
    assert cost.host_s.low == pytest.approx(2 * (host.dispatch.low + touched / host.memory_rate.high))
    assert cost.host_s.high == pytest.approx(2 * (host.dispatch.high + touched / host.memory_rate.low))
    ends = host_cost(_chain("TopK", "ArgMax"), placed_on(works_of(_chain("TopK", "ArgMax")), "lpu"), link)
    assert (ends.operators, ends.transfers, ends.link_s.high) == (2, 0, 0.0)
    twice = _graph(
        [GraphNode("a", "Relu", ("x",), ("y",)), GraphNode("b", "TopK", ("y",), ("p",)),
         GraphNode("c", "ArgMax", ("y",), ("q",))],
        dict.fromkeys("xypq", (8,)), set(),
    )  # fmt: skip
    assert host_cost(twice, placed_on(works_of(twice), "lpu"), link).transfers == 1


def test_a_weight_crosses_no_link() -> None:
    node = GraphNode("it", "TopK", ("w",), ("out",))
    graph = _graph([GraphNode("use", "Relu", ("w",), ("a",)), node], {"w": (8,), "a": (8,), "out": (8,)}, {"w"})
    assert host_cost(graph, placed_on(works_of(graph), "lpu"), load_system("rngd").card.host_link).transfers == 0


def test_every_operator_is_of_one_kind_and_every_unit_is_told() -> None:
    for dialect in ("onnx", "aten"):
        names = [op for kind in operator_table().kinds for op in getattr(kind, dialect)]
        assert len(set(names)) == len(names)
    kinds = {kind.kind for kind in operator_table().kinds}
    for unit in unit_kinds():
        told = [kind for each in unit_support(unit).support for kind in each.kinds]
        assert set(told) <= kinds, unit
        assert len(set(told)) == len(told), unit
        assert all(each.source for each in unit_support(unit).support)
    assert kind_of_operator("MatMul", "aten") is None


def test_an_operator_of_its_own_comes_before_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    own = UnitSupport.model_validate(
        {"name": "gpu", "title": "t", "support": [
            {"status": "native", "kinds": ["elementwise"], "standing": "assumed", "source": "s"},
            {"status": "host", "operators": ["Mod"], "standing": "published", "source": "s"},
        ]}
    )  # fmt: skip
    monkeypatch.setattr(operators, "unit_support", lambda _: own)
    assert [each.status for each in placed_on(works_of(_chain("Add", "Mod", "Exp")), "gpu")] == [
        "native",
        "host",
        "unknown",
    ]


def test_an_exported_program_is_read_without_pytorch() -> None:
    """4 heads of 8 over 2 x 8 tokens of 32 elements, an MLP of 64, a table of 100 rows; float32."""
    answer = npusim.import_model(EXPORTED, arch="rngd").answer
    products = [each for each in answer["operators"] if each["kind"] == "matrix_product"]
    tokens, hidden, inner = 16, 32, 64
    linear = 4 * 2 * tokens * hidden * hidden + 2 * 2 * tokens * hidden * inner
    attended = 2 * 2 * (2 * 4) * 8 * 8 * 8
    assert sum(each["flops"] for each in products) == linear + attended
    weights = 100 * hidden + 4 * hidden**2 + 2 * hidden * inner + (hidden + 2 * hidden + inner + hidden)
    assert answer["totals"]["weight_bytes"] == 4 * weights
    assert answer["totals"]["unshaped"] == 0
    assert answer["on_host"] == {"topk": 1} and answer["unknown"] == {}
    assert answer["coverage"]["host"] == pytest.approx(1 / len(answer["operators"]))
    assert sum(answer["coverage"].values()) == pytest.approx(1.0)
    assert answer["host"]["link_bytes"] == 2 * 32 * 4


def test_an_open_dimension_is_asked_for_by_its_name(tmp_path: Path) -> None:
    path = exported(tmp_path / "open.pt2", open_dimension)
    assert "'s0' open (exported with 2); give it by --dim s0=N" in mistake("import", path)
    told = tell("import", path, "--dim", "s0=4", "--json").json
    first = next(each for each in told["operators"] if each["op"] == "embedding")
    assert first["input_bytes"] == 8 * 8 * 8
    assert "no dimension of that name" in mistake("import", path, "--dim", "s0=4", "--dim", "s1=4")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda program: program.pop("graph_module"), "schema that npusim does not know"),
        (lambda program: program["graph_module"]["graph"].update(nodes=[]), "without operators"),
        (lambda program: program["graph_module"]["graph"].update(nodes=3), "schema"),
        (
            lambda program: resized(program, {"as_int": -1}),
            "shape",
        ),
        (
            lambda program: resized(program, {"as_int": 10**30}),
            "shape",
        ),
        (lambda program: open_dimension(program, "__import__('os').system('true')"), "which is not read"),
        (lambda program: open_dimension(program, "1//0"), "schema"),
        (
            lambda program: program["graph_module"]["graph"]["nodes"][0].update(outputs=[{"as_tensor": {"name": []}}]),
            "schema",
        ),
        (lambda program: program["graph_module"]["graph"]["tensor_values"]["x"].update(dtype=99), "schema"),
        (lambda program: open_dimension(program, "(" * 500), "which is not read"),
    ],
)
def test_a_broken_program_is_one_line(change: Change, says: str, tmp_path: Path) -> None:
    assert says in mistake("import", exported(tmp_path / "broken.pt2", change), "--dim", "s0=1")


def test_what_would_have_to_be_run_is_refused(tmp_path: Path) -> None:
    program = tmp_path / "model.py"
    program.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    told = mistake("import", program)
    assert "npusim runs none" in told and "torch.export.save" in told
    for name in ("model.pt", "model.pth", "model.bin"):
        (tmp_path / name).write_bytes(b"\x80\x04.")
        assert "loading it can run anything" in mistake("import", tmp_path / name)
    assert not (tmp_path / "ran").exists()
    (tmp_path / "model.txt").write_text("x")
    assert "is no model that is read" in mistake("import", tmp_path / "model.txt")
    (tmp_path / "cut.pt2").write_bytes(EXPORTED.read_bytes()[:900])
    assert "no whole archive" in mistake("import", tmp_path / "cut.pt2")
    with zipfile.ZipFile(tmp_path / "empty.pt2", "w") as archive:
        archive.writestr("a", "b")
    assert "0 graphs in place of one" in mistake("import", tmp_path / "empty.pt2")
    assert "cannot be read" in mistake("import", tmp_path / "none.pt2")


@pytest.mark.parametrize("word", ["batch", "=4", "batch=", "batch=0", "batch=-1", "batch=1.5", "batch=9" + "9" * 40])
def test_a_size_is_a_name_and_a_number(word: str) -> None:
    assert "write it as batch=4" in mistake("import", EXPORTED, "--dim", word)


def test_other_mistakes_are_one_line() -> None:
    assert "unknown" in mistake("import", EXPORTED, "--arch", "no-such-chip")
    assert "given twice" in mistake("import", EXPORTED, "--dim", "a=1,a=2")


def test_without_a_chip_it_is_what_holds_on_any_unit() -> None:
    answer = npusim.import_model(EXPORTED).answer
    assert answer["arch"] is None and answer["host"] is None
    for status in ("native",):
        assert answer["coverage"][status] <= min(each[status] for each in answer["by_unit"].values())
    assert set(answer["by_unit"]) == set(unit_kinds())


def test_the_command_prints_the_table_and_the_same_bytes(tmp_path: Path) -> None:
    words = ("import", str(EXPORTED), "--arch", "rngd", "--json")
    first, again = (process(*words, folder=tmp_path) for _ in range(2))
    assert first.returncode == 0, first.stderr
    assert (first.stdout, first.stderr) == (again.stdout, "")
    assert {"operators", "coverage", "host", "manifest"} <= json.loads(first.stdout).keys()
    told = tell("import", EXPORTED, "--arch", "rngd")
    assert told.code == 0
    assert "16 x 32 x 32, 1" in told.out and "on host: topk (1)" in told.out and "The host runs 1" in told.out


def test_onnx_without_the_extra_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    (tmp_path / "m.onnx").write_bytes(b"x")
    assert "pip install 'npusim[onnx]'" in mistake("import", tmp_path / "m.onnx")


@pytest.fixture
def helper() -> Any:
    onnx = pytest.importorskip("onnx", reason="the extra 'onnx' is not installed")
    return onnx.helper


def _saved(
    helper: Any, path: Path, nodes: list[Any], inputs: dict[str, Any], outputs: dict[str, Any], weights: Any
) -> Path:
    import onnx

    def info(name: str, shape: Any) -> Any:
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT16, shape)

    stored = [
        helper.make_tensor(name, onnx.TensorProto.FLOAT16, shape, bytes(2 * shape[0] * shape[1]), raw=True)
        for name, shape in weights.items()
    ]
    graph = helper.make_graph(
        nodes, "g", [info(*each) for each in inputs.items()], [info(*each) for each in outputs.items()], stored
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid("com.example", 1)])
    path.write_bytes(model.SerializeToString())
    return path


def test_an_mlp_in_onnx_has_its_closed_form(helper: Any, tmp_path: Path) -> None:
    hidden, inner, batch = 64, 256, 5
    nodes = [
        helper.make_node("MatMul", ["x", "up"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "down"], ["y"]),
    ]
    path = _saved(
        helper, tmp_path / "mlp.onnx", nodes, {"x": ["batch", hidden]}, {"y": ["batch", hidden]},
        {"up": (hidden, inner), "down": (inner, hidden)},
    )  # fmt: skip
    assert "leaves dimension 'batch' open; give it by --dim batch=N" in mistake("import", path)
    answer = tell("import", path, "--dim", f"batch={batch}", "--arch", "h200", "--json").json
    up, relu, down = answer["operators"]
    assert (up["m"], up["n"], up["k"], up["batch"]) == (batch, inner, hidden, 1)
    assert (up["flops"], relu["flops"], down["flops"]) == (
        2 * batch * inner * hidden,
        batch * inner,
        2 * batch * inner * hidden,
    )
    assert (up["weight_bytes"], up["input_bytes"], up["output_bytes"]) == (
        2 * hidden * inner,
        2 * batch * hidden,
        2 * batch * inner,
    )
    assert answer["totals"]["weight_bytes"] == 2 * 2 * hidden * inner
    assert answer["coverage"] == {"native": 1.0, "decomposed": 0.0, "host": 0.0, "unknown": 0.0}
    assert answer["host"]["time_us"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert "no dimension of that name" in mistake("import", path, "--dim", "batch=5", "--dim", "seq=2")


def test_attention_in_onnx_has_its_closed_form(helper: Any, tmp_path: Path) -> None:
    batch, heads, tokens, dim = 2, 4, 16, 8
    shape = [batch, heads, tokens, dim]
    nodes = [
        helper.make_node("Transpose", ["k"], ["kt"], perm=[0, 1, 3, 2]),
        helper.make_node("MatMul", ["q", "kt"], ["s"]),
        helper.make_node("Softmax", ["s"], ["p"]),
        helper.make_node("MatMul", ["p", "v"], ["o"]),
        helper.make_node("Cure", ["o"], ["c"], domain="com.example"),
    ]
    path = _saved(helper, tmp_path / "attention.onnx", nodes, {"q": shape, "k": shape, "v": shape}, {"c": shape}, {})
    answer = tell("import", path, "--arch", "rngd", "--json").json
    scores, weighted = (each for each in answer["operators"] if each["op"] == "MatMul")
    assert scores["flops"] == weighted["flops"] == 2 * batch * heads * tokens * tokens * dim
    assert (scores["m"], scores["n"], scores["k"], scores["batch"]) == (tokens, tokens, dim, batch * heads)
    softmax = next(each for each in answer["operators"] if each["op"] == "Softmax")
    per_element = next(kind for kind in operator_table().kinds if kind.kind == "softmax").flops_per_element
    assert softmax["flops"] == per_element.value * batch * heads * tokens * tokens
    assert answer["unknown"] == {"com.example.Cure": 1}
    assert answer["coverage"]["unknown"] == pytest.approx(0.2)
    assert answer["totals"]["unshaped"] == 1
    assert "unknown: com.example.Cure (1)" in tell("import", path, "--arch", "rngd").out


def test_a_broken_onnx_file_is_one_line(helper: Any, tmp_path: Path) -> None:
    good = _saved(
        helper, tmp_path / "good.onnx", [helper.make_node("Relu", ["x"], ["y"])], {"x": [4, 8]}, {"y": [4, 8]}, {}
    )  # fmt: skip
    (tmp_path / "text.onnx").write_text("no model at all")
    (tmp_path / "empty.onnx").write_bytes(b"")
    (tmp_path / "cut.onnx").write_bytes(good.read_bytes()[:-7])
    for name in ("text", "empty", "cut"):
        assert "export it anew" in mistake("import", tmp_path / f"{name}.onnx")
    clash = _saved(
        helper, tmp_path / "clash.onnx", [helper.make_node("MatMul", ["x", "z"], ["y"])],
        {"x": [4, 8], "z": [9, 2]}, {"y": [4, 2]}, {},
    )  # fmt: skip
    assert "contradict each other" in mistake("import", clash)
    spoilt = bytearray(good.read_bytes())
    at = bytes(spoilt).index(b"Relu")
    spoilt[at : at + 4] = b"\xff\xfe\x1b["
    (tmp_path / "spoilt.onnx").write_bytes(bytes(spoilt))
    told = tell("import", tmp_path / "spoilt.onnx")
    assert told.code in (0, 2) and "\x1b" not in told.out + told.err and "Traceback" not in told.err
    nameless = _saved(
        helper, tmp_path / "open.onnx", [helper.make_node("Relu", ["x"], ["y"])], {"x": [None, 8]}, {"y": [None, 8]}, {}
    )
    assert "dimension 0, which has no name, open" in mistake("import", nameless)
