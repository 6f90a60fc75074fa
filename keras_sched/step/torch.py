"""PyTorch: nothing is compiled, so a step takes its row from the host, as Python floats."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
import torch
from numpy.typing import NDArray

from keras_sched.step.backend import Arrays, Backend, Content
from keras_sched.step.host import HostStep
from keras_sched.step.override import Override
from keras_sched.step.table import Layout


class TorchStep(HostStep):
    """Keras' own train function, whose optimizers take the coming row. No tensor is made in it, and none is read."""

    def __init__(self, model: keras.Model, overrides: Sequence[Override], layouts: Sequence[Layout]) -> None:
        super().__init__(model, overrides, layouts)
        if model.jit_compile:
            for override in self.overrides:
                # Dynamo would compile again for each new float, and give up after a few.
                override.apply = torch.compiler.disable(override.apply)  # type: ignore[method-assign]

    def function(self, *arguments: Any) -> Any:
        logs: Any = {}
        for data in arguments[0]:  # one batch; from Keras 3.16 on, `steps_per_execution` of them
            logs = super().function([data])
        return logs

    @staticmethod
    def as_rates(values: NDArray[np.float64]) -> list[list[Any]]:
        """Places in one tensor that is made for many rows: as in Keras the rate is a tensor, and a step makes none."""
        tensor: Any = keras.ops.convert_to_tensor(values, keras.config.floatx())
        return [list(of_groups) for of_groups in zip(*(one.unbind() for one in tensor.unbind(1)), strict=True)]


class TorchBackend(Backend):
    """See `Backend`."""

    step = TorchStep
    compiles = False

    def being_traced(self, arguments: Any) -> bool:
        return torch.compiler.is_compiling()

    def outside_graph(self, call: Callable[..., Any]) -> Callable[..., Any]:
        return torch.compiler.disable(call) if torch.compiler.is_compiling() else call

    def read(self, variable: keras.Variable) -> Content:
        return _tensor(variable.path, lambda: variable.value)

    def contents(self, model: keras.Model) -> Iterator[tuple[Any, Content]]:
        layers: list[Any] = model._flatten_layers()
        modules = list({id(module): module for layer in layers for module in layer.modules()}.values())
        modes = [module.training for module in modules]

        def put_back(_: Arrays) -> None:
            for module, mode in zip(modules, modes, strict=True):
                module.training = mode
            model.zero_grad()

        yield "modes", Content("training modes", [], put_back)
        for module in modules:
            for name, _ in module.named_buffers(recurse=False):
                yield (id(module), name), _tensor(name, lambda module=module, name=name: getattr(module, name))

    def mean_over_processes(self, loss: Any) -> Any:
        total: Any = keras.ops.convert_to_tensor(loss)
        total = total.detach().clone()
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(total)
            total /= torch.distributed.get_world_size()
        return total

    def after_evaluation(self, model: keras.Model) -> None:
        model.train()


def random_states() -> Iterator[tuple[str, Callable[[], None]]]:
    """Remember PyTorch's random number generators; the calls put them back."""
    yield "PyTorch's random numbers", partial(torch.set_rng_state, torch.get_rng_state())
    for device in ("cuda", "xpu"):
        module = getattr(torch, device, None)
        # `is_initialized` too: to ask an unused device for its state would start it.
        if module is not None and module.is_available() and module.is_initialized():
            yield f"PyTorch's random numbers on {device}", partial(module.set_rng_state_all, module.get_rng_state_all())
    if torch.backends.mps.is_available():
        yield "PyTorch's random numbers on mps", partial(torch.mps.set_rng_state, torch.mps.get_rng_state())


def _tensor(name: str, find: Callable[[], Any]) -> Content:
    """A tensor as bytes: NumPy has no bfloat16, and a cast would not keep every bit."""

    def put_back(arrays: Arrays) -> None:
        tensor = find()
        if not tensor.numel():  # it has no strides to look at it by
            return
        kept = torch.from_numpy(arrays[0]).view(tensor.dtype).reshape(tensor.shape)
        with torch.no_grad():
            tensor.copy_(kept)

    with torch.no_grad():
        flat = find().detach().to("cpu", copy=True).contiguous().reshape(-1)
    return Content(name, [flat.view(torch.uint8).numpy()], put_back)
