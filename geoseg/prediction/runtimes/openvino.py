"""OpenVINO, on a CPU: `pip install 'geoseg[openvino]'`."""

from __future__ import annotations

import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from geoseg.model import Model
from geoseg.prediction.runtimes._graph import GraphRuntime, Infer

_REPORTER = "openvino_telemetry"


def missing() -> tuple[str, ...]:
    """Packages that are not installed."""
    return () if find_spec("openvino") else ("openvino",)


def open_model(
    source: str | Path | Model,
    device: str = "cpu",
    threads: int | None = None,
    *,
    margin: int = 0,
    compiled: bool = False,
) -> GraphRuntime:
    """Open a model on the CPU; there is nothing to compile. See `geoseg.prediction.runtimes.open_runtime`."""
    return GraphRuntime(_OpenVino(), source, threads, margin)


def _library() -> Any:
    """OpenVINO without the part that reports its use to its maker.

    That begins when it is imported, by processes that are forked from the threads of this one, and notes who reports in
    the user's home. Where it is not installed OpenVINO does without.
    """
    if "openvino" in sys.modules:
        return sys.modules["openvino"]
    before = sys.modules.get(_REPORTER)
    sys.modules[_REPORTER] = None  # type: ignore[assignment]
    try:
        import openvino
    finally:
        if before is None:
            del sys.modules[_REPORTER]
        else:
            sys.modules[_REPORTER] = before
    return openvino


class _OpenVino:
    name = "openvino"
    overhead = 1.25

    def versions(self) -> tuple[str, ...]:
        return (version("openvino"),)

    def write(self, body: Any, example: Any, folder: Path) -> None:
        import torch

        openvino = _library()
        from openvino.frontend import FrontEndManager
        from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

        # Traced here without the second and third run that compare the trace with itself: it is compared with torch.
        traced = torch.jit.trace(body, example, check_trace=False)  # type: ignore[no-untyped-call]
        # `openvino.convert_model` does the same, but reports it to its maker from forked processes.
        frontend = FrontEndManager().load_by_framework("pytorch")
        decoder = TorchScriptPythonDecoder(traced, example_input=example)
        graph = frontend.convert(frontend.load(decoder))
        graph.reshape(openvino.PartialShape([-1, example.shape[1], -1, -1]))
        openvino.save_model(graph, folder / "graph.xml", compress_to_fp16=False)

    def load(self, folder: Path, threads: int | None) -> Infer:
        openvino = _library()
        # On CPUs that can it would take bfloat16, and other labels with it.
        options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        if threads is not None:
            options["INFERENCE_NUM_THREADS"] = threads
        compiled = openvino.Core().compile_model(folder / "graph.xml", "CPU", options)
        return lambda values: compiled(values, share_inputs=True, share_outputs=True)[0]
