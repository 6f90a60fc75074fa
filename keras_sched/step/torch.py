"""PyTorch: nothing is compiled, so a step takes its row from the host, as Python floats."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
import torch
from numpy.typing import NDArray

from keras_sched.step.backend import Arrays, Backend, Content, ScheduledStep
from keras_sched.step.override import Override
from keras_sched.step.table import HostRows, Layout, Table, Values


class TorchStep(ScheduledStep):
    """Keras' own train function, whose optimizers take the coming row. No tensor is made in it, and none is read."""

    def __init__(self, model: keras.Model, overrides: Sequence[Override], layouts: Sequence[Layout]) -> None:
        super().__init__(model, overrides, layouts)
        self._rows: list[HostRows] = []
        self._taken = [0 for _ in layouts]  # updates since the last anchor
        self._plain: Callable[..., Any]
        for which, override in enumerate(self.overrides):
            override.read = partial(self._take, which)
            if model.jit_compile:
                # Dynamo would compile again for each new float, and give up after a few.
                override.apply = torch.compiler.disable(override.apply)  # type: ignore[method-assign]

    def function(self, *arguments: Any) -> Any:
        if self.searching:
            self.empty_metrics()
        try:  # as `installed`, without what it costs to be open to several threads
            for which, override in enumerate(self.overrides):
                override.install()
                override.peek = partial(lambda values: values, self._row(which))
            logs = self.objects.run(self, self._plain, *arguments)
            self.learn_updates()
            return logs
        finally:
            for override in self.overrides:
                override.remove()

    def begin(self, tables: Sequence[Table], plain: Callable[..., Any]) -> None:
        self._plain = plain
        self._rows = [
            HostRows(table, callable_rate=layout.rate_is_callable, as_rates=_as_rates)
            for table, layout in zip(tables, self.layouts, strict=True)
        ]

    def anchor(self, which: int, row: int, count: int, *, changed: bool = False) -> int:
        if changed:
            self._rows[which].forget()
        self._rows[which].position, self._taken[which] = row, 0
        return np.iinfo(np.int64).max

    def _row(self, which: int, updates: int = 0) -> Values:
        """The row that the batch takes, of which it has made so many updates."""
        rows = self._rows[which]
        return rows.row(rows.position + (self._taken[which] - updates) // self.overrides[which].per_batch)

    def _take(self, which: int, updates: int) -> Values:
        values = self._row(which, updates)
        self._taken[which] += 1
        return values


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
        distributed = torch.distributed
        loss = loss.detach() if isinstance(loss, torch.Tensor) else keras.ops.convert_to_tensor(loss)
        if not (distributed.is_available() and distributed.is_initialized()) or distributed.get_world_size() == 1:
            return loss
        total = loss.clone()
        distributed.all_reduce(total)
        return total / distributed.get_world_size()

    def after_evaluation(self, model: keras.Model) -> None:
        model.train()


def random_states() -> Iterator[tuple[str, Callable[[], None]]]:
    """Remember PyTorch's random number generators; the calls put them back."""
    yield "PyTorch's random numbers", _setter(torch.set_rng_state, torch.get_rng_state())
    for device in ("cuda", "xpu"):
        module = getattr(torch, device, None)
        # `is_initialized` too: to ask an unused device for its state would start it.
        if module is not None and module.is_available() and module.is_initialized():
            yield f"PyTorch's random numbers on {device}", _setter(module.set_rng_state_all, module.get_rng_state_all())
    if torch.backends.mps.is_available():
        yield "PyTorch's random numbers on mps", _setter(torch.mps.set_rng_state, torch.mps.get_rng_state())


def _setter(set_state: Callable[[Any], Any], state: Any) -> Callable[[], None]:
    return lambda: set_state(state)


def _as_rates(values: NDArray[np.float64]) -> list[list[Any]]:
    """Places in one tensor that is made for many rows: as in Keras the rate is a tensor, and a step makes none."""
    tensor: Any = keras.ops.convert_to_tensor(values, keras.config.floatx())
    return [list(of_groups) for of_groups in zip(*(one.unbind() for one in tensor.unbind(1)), strict=True)]


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


def packed_random() -> Any:
    """The state of PyTorch's random numbers on the host, as an array."""
    return torch.get_rng_state().numpy()


def unpack_random(packed: Any) -> None:
    """Set what `packed_random` gave."""
    torch.set_rng_state(torch.from_numpy(packed))
