"""ONNX Runtime, on a CPU: `pip install 'geoseg[onnx]'`."""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from geoseg.model import Model
from geoseg.prediction.runtimes._graph import GraphRuntime, Infer

OPSET = 18
"""The oldest that torch's exporter writes without a conversion."""


def missing() -> tuple[str, ...]:
    """Packages that are not installed."""
    return tuple(name for name in ("onnx", "onnxscript", "onnxruntime") if not find_spec(name))


def open_model(
    source: str | Path | Model,
    device: str = "cpu",
    threads: int | None = None,
    *,
    margin: int = 0,
    compiled: bool = False,
) -> GraphRuntime:
    """Open a model on the CPU; there is nothing to compile. See `geoseg.prediction.runtimes.open_runtime`."""
    return GraphRuntime(_Onnx(), source, threads, margin)


class _Onnx:
    name = "onnx"
    overhead = 1.0

    def versions(self) -> tuple[str, ...]:
        return (version("onnxruntime"), str(OPSET))

    def write(self, body: Any, example: Any, folder: Path) -> None:
        import torch
        from torch.export import Dim

        sizes = ({0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC},)
        # A graph above 2 GB cannot be one file; no network of geoseg comes near.
        torch.onnx.export(
            body,
            (example,),
            folder / "graph.onnx",
            dynamo=True,
            dynamic_shapes=sizes,
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )

    def load(self, folder: Path, threads: int | None) -> Infer:
        import onnxruntime

        # It would send what it runs on to its maker.
        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        # Threads that wait turn round and round, on cores that read and write meanwhile.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if threads is not None:
            options.intra_op_num_threads = threads
        # The arena keeps the largest window's memory for good and grows by doubling.
        options.enable_cpu_mem_arena = False
        path = str(folder / "graph.onnx")
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return lambda values: session.run(None, {name: values})[0]
