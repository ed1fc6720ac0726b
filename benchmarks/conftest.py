"""Collects `bench_*.py` and closes the run with a table of what the benchmarks measured."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """`pytest benchmarks` finds the benchmarks; a file given by name is collected by pytest itself."""
    if not file_path.match("bench_*.py") or parent.session.isinitpath(file_path):
        return None
    module: pytest.Module = pytest.Module.from_parent(parent, path=file_path)
    return module


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Benchmarks run one after the other in this process, whatever number of processes the tests take."""
    config.option.numprocesses = 0


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Prints the `extra_info` of every benchmark: a line a figure, with the aim where there is one."""
    session = getattr(config, "_benchmarksession", None)
    if session is None or not session.benchmarks:
        return
    terminalreporter.section("npusim")
    for bench in session.benchmarks:
        for name, value in bench.extra_info.items():
            figure, aim = value if isinstance(value, list | tuple) else (value, "")
            terminalreporter.write_line(f"{bench.name:<48} {name:<32} {figure:>14,.2f}  {aim}")
