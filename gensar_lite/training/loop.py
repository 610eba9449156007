"""The training loop: loss, schedule, validation, checkpoints, and resuming to the same result.

Explained in notebook 05. A step depends on (seed, step) and the weights alone, so a run that was killed and
resumed ends where an undisturbed one ends. Runs unchanged under `accelerate launch`: processes share a batch, or one takes the
parts in turns (`accumulate`), to the same weights; what the first one validates decides for all.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tqdm.auto import tqdm

from gensar_lite.data.storage import DataError, check_folder, check_whole, new_folder, read_json, write_json
from gensar_lite.network.backbone import T5
from gensar_lite.network.vocabulary import Vocabulary
from gensar_lite.signals.device import choose_device, without_denormals, workers
from gensar_lite.training.batches import batches
from gensar_lite.training.chance import can_draw_ahead, draw
from gensar_lite.training.examples import Examples
from gensar_lite.training.objective import Objective
from gensar_lite.training.settings import TrainingConfig

Validate = Callable[[T5], dict[str, float]]
CHECKPOINT_SECONDS = 60
WAITING = 20  # steps whose losses a GPU may owe


def learning_rate(step: int, config: TrainingConfig) -> float:
    """Linear warm-up, then half a cosine down to zero."""
    warm = max(int(config.warmup * config.steps), 1)
    if step < warm:
        return config.learning_rate * (step + 1) / warm
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(config.steps - warm, 1)))


def fit_generator(
    backbone: T5,
    vocabulary: Vocabulary,
    examples: Examples,
    config: TrainingConfig,
    validate: Validate | None = None,
    checkpoint: Path | None = None,
    progress: bool = True,
    device: torch.device | str | None = None,
) -> list[dict]:
    """Train `backbone` in place and give the history of the training, one row per validation.

    `validate` maps the model to metrics; the entry "primary" decides which weights are kept and when
    to stop early. `checkpoint` names a folder: written every minute and at each validation, read when present.
    `device` as in `choose_device`.
    """
    device = choose_device(device)
    # without `cpu`, processes on CPUs never find each other
    accelerator = Accelerator(cpu=device.type == "cpu", device_placement=False)
    backbone.to(device)
    optimiser = torch.optim.AdamW(
        backbone.parameters(), lr=config.learning_rate, betas=config.betas, weight_decay=config.weight_decay, fused=True
    )
    run = _Run(backbone, optimiser, checkpoint)
    run.resume()
    process, num_processes = accelerator.process_index, accelerator.num_processes
    draws = None
    if can_draw_ahead(config, device):
        draws = partial(draw, config=config, sizes=backbone.config, num_items=vocabulary.num_remembered)
    objective = Objective(backbone, vocabulary, config)
    wrapped, prepared = accelerator.prepare(objective, optimiser)
    bar = tqdm(
        total=config.steps,
        initial=run.step,
        desc="training",
        unit="step",
        disable=None if progress and process == 0 else True,
    )
    # seeding is for this training alone: whoever draws after it finds the generators as they were
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda), without_denormals(), contextlib.ExitStack() as stack:
        if draws and (pool := workers(device)):
            objective.workers = stack.enter_context(pool)
        backbone.train()
        parts = num_processes * config.accumulate
        share = range(process * config.accumulate, (process + 1) * config.accumulate)
        feed = batches(examples, range(run.step, config.steps), share, parts, device, draws)
        while run.step < config.steps and not run.stopped(config):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(run.step, config)
            value = torch.zeros((), device=device)
            for part in share:
                torch.manual_seed(run.step * parts + part)  # only chance draws from this, and a GPU's dropout
                with contextlib.nullcontext() if part == share[-1] else accelerator.no_sync(wrapped):
                    loss = wrapped(*next(feed)) / config.accumulate
                    accelerator.backward(loss)
                value += loss.detach()
            run.pending.append(value)
            validates = (run.step + 1) % config.validate_every == 0 or run.step + 1 == config.steps
            saves = process == 0 and run.due()
            if validates or saves or device.type == "cpu" or len(run.pending) == WAITING:
                run.settle(config)
            accelerator.clip_grad_norm_(backbone.parameters(), 1.0)
            prepared.step()
            prepared.zero_grad()
            run.step += 1
            bar.update()
            if validates:
                # every process has measured alike, but for rounding: one decides, so that all keep and stop together
                run.record(broadcast_object_list([validate(backbone) if validate else {}])[0])
                bar.set_postfix({k: f"{v:.3f}" for k, v in run.history[-1].items() if k in ("loss", "primary")})
                if process == 0:
                    run.save()
            elif saves:
                run.save()
    bar.close()
    accelerator.wait_for_everyone()
    run.restore_best()
    backbone.eval()
    return run.history


class _Run:
    """Where a training stands: step, losses, best weights; and its checkpoint folder."""

    def __init__(self, backbone: T5, optimiser: torch.optim.AdamW, folder: Path | None) -> None:
        self.backbone, self.optimiser, self.folder = backbone, optimiser, folder
        self.parameters = dict(backbone.named_parameters())
        self.step = 0
        self.history: list[dict] = []
        self.losses: list[float] = []
        self.pending: list[torch.Tensor] = []  # losses that the device may still be computing
        self.best: dict[str, torch.Tensor] | None = None
        self.saved = time.monotonic()

    def stopped(self, config: TrainingConfig) -> bool:
        """Whether the latest validations bring nothing better; those of the warm-up do not count as fruitless."""
        values = [row["primary"] for row in self.history if "primary" in row]
        late = sum("primary" in row and row["step"] >= config.warmup * config.steps for row in self.history)
        return late > config.patience and max(values) > max(values[-config.patience :])

    def settle(self, config: TrainingConfig) -> None:
        """Wait for the pending losses. Raises DataError where one is not finite."""
        values = torch.stack(self.pending).tolist() if self.pending else []
        first = self.step + 1 - len(values)
        self.losses, self.pending = self.losses + values, []
        for step, value in enumerate(values, start=first):
            if not math.isfinite(value):
                raise DataError(
                    f"training diverged at step {step} (the loss is {value}); lower the learning rate from {config.learning_rate}"
                )

    def record(self, metrics: dict[str, float]) -> None:
        self.backbone.train()
        loss = sum(self.losses) / len(self.losses)
        self.losses = []
        self.history.append({"step": self.step, "loss": loss, **metrics})
        values = [row["primary"] for row in self.history if "primary" in row]
        if values and values[-1] == max(values):
            self.best = {name: p.detach().clone() for name, p in self.parameters.items()}

    def restore_best(self) -> None:
        if self.best is not None:
            with torch.no_grad():
                for name, parameter in self.parameters.items():
                    parameter.copy_(self.best[name])

    def due(self) -> bool:
        return self.folder is not None and time.monotonic() - self.saved > CHECKPOINT_SECONDS

    def save(self) -> None:
        if self.folder is None:
            return
        tensors = {f"weight/{name}": p.detach() for name, p in self.parameters.items()}
        for name, parameter in self.parameters.items():
            for key, value in self.optimiser.state.get(parameter, {}).items():
                tensors[f"optimiser/{key}/{name}"] = torch.as_tensor(value)
        tensors |= {f"best/{name}": value for name, value in (self.best or {}).items()}
        with new_folder(self.folder, "checkpoint") as folder:
            save_file(
                {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, folder / "state.safetensors"
            )
            write_json(folder / "progress.json", {"step": self.step, "history": self.history, "losses": self.losses})
        self.saved = time.monotonic()

    def resume(self) -> None:
        if self.folder is not None:
            check_folder(self.folder, "checkpoint")  # before the work, not at its first save
        if self.folder is None or not (self.folder / "progress.json").is_file():
            return
        check_whole(self.folder, "checkpoint")
        progress = read_json(self.folder / "progress.json", step=int, history=list, losses=list)
        try:
            tensors = load_file(self.folder / "state.safetensors")
            for name, parameter in self.parameters.items():
                with torch.no_grad():
                    parameter.copy_(tensors[f"weight/{name}"])
                prefix = "optimiser/"
                keys = {k.split("/")[1] for k in tensors if k.startswith(prefix) and k.endswith("/" + name)}
                state = {key: tensors[f"{prefix}{key}/{name}"] for key in keys}
                self.optimiser.state[parameter] = {k: v.to(parameter.device, copy=True) for k, v in state.items()}
            self.best = (
                {name: tensors[f"best/{name}"] for name in self.parameters}
                if any(k.startswith("best/") for k in tensors)
                else None
            )
            self.step, self.history, self.losses = progress["step"], progress["history"], progress["losses"]
        except (OSError, KeyError, TypeError, RuntimeError, ValueError, SafetensorError) as error:
            raise DataError(
                f"the checkpoint in {self.folder} does not fit this training or is broken ({error}); delete the folder to start again"
            ) from error
