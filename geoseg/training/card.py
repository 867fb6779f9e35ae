"""The model card: what a model is, in words."""

from __future__ import annotations

from typing import Any

from geoseg.model import ModelSpec


def model_card(spec: ModelSpec, weights: int) -> str:
    """Markdown that says what the model maps, from what, how it was made and how well it did in validation."""
    training, settings = spec.training, spec.training["settings"]
    distance = f"{spec.ground_sample_distance:.3g} m" if spec.ground_sample_distance else "unknown"
    reach = f"{spec.reach} pixels to each side" if spec.reach is not None else "the whole window"
    return "\n".join(
        [
            f"# {spec.architecture}: {', '.join(spec.legend.names)}",
            "",
            f"A land-cover model with {weights:,} weights, made by geoseg {training['versions']['geoseg']}.",
            "",
            f"- **Input**: {len(spec.bands)} bands in this order: {', '.join(spec.bands)}; pixels of {distance}",
            f"- **Output**: {len(spec.legend)} classes",
            f"- **Sees**: {reach}",
            f"- **Chips**: {training['chips']}, {spec.chip_size} pixels, split by {training['tiling']['split_by']} "
            f"with {training['tiling']['gap']} pixels between splits",
            f"- **Training**: epoch {training['best_epoch']} of {training['epochs']} was kept, after "
            f"{training['seconds']:.0f} s on {settings['device']}; loss {settings['loss']}, class weights "
            f"{settings['class_weights']}, batch {settings['batch_size']} x {settings['accumulate']} x "
            f"{settings['processes']}, {settings['optimizer']} {settings['schedule']} rate {settings['lr']:g}, "
            f"precision {settings['precision']}, seed {settings['seed']}",
            *_beginning(training.get("began")),
            "",
            "## Validation",
            "",
            *_validation(spec),
            "",
            *_calibration(spec),
            "Validation chose the weights, so these figures are a little too good. The test blocks are the fair judge.",
            "",
        ]
    )


def _beginning(began: dict[str, Any] | None) -> list[str]:
    if not began:
        return []
    said = f"; {began['assumed']}" if began["assumed"] else ""
    return [
        f"- **Began with**: {began['encoder']} from {began['source']}, trained on {', '.join(began['bands'])} "
        f"({began['scaling']}){said}"
    ]


def _validation(spec: ModelSpec) -> list[str]:
    scores, pixels = spec.training["validation"], spec.training["pixels"]
    if not scores["pixels"]:
        return ["There were no validation chips; the last epoch was kept."]
    head = "| class | IoU | F1 | user's accuracy | producer's accuracy | training pixels | validation pixels |"
    rows = [
        f"| {row['name'].replace('|', '/')} | {_figure(row['iou'])} | {_figure(row['f1'])} | "
        f"{_figure(row['users_accuracy'])} | {_figure(row['producers_accuracy'])} | "
        f"{pixels['train'][row['name']]:,} | {pixels['val'][row['name']]:,} |"
        for row in scores["classes"]
    ]
    summary = f"Overall accuracy {_figure(scores['overall_accuracy'])}, mean IoU {_figure(scores['mean_iou'])}."
    return [summary, "", head, "|" + " --- |" * 7, *rows]


def _calibration(spec: ModelSpec) -> list[str]:
    found = spec.training.get("calibration")
    if not found:
        return []
    return [
        f"Probabilities are calibrated with a temperature of {spec.temperature:.2f}: their expected calibration error "
        f"on validation is {found['after']:.3f}, and {found['before']:.3f} without.",
        "",
    ]


def _figure(value: float | None) -> str:
    return "absent" if value is None else f"{value:.3f}"
