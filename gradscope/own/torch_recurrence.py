"""``torch.nn.RNN``, ``LSTM`` and ``GRU`` as the architectures of the same equations, around the same parameters."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from gradscope.architectures.dense.rnn import RNN
from gradscope.architectures.gated.gru import GRU
from gradscope.architectures.gated.lstm import LSTM
from gradscope.architectures.torch_cell import TorchCell
from gradscope.contract.combinators import Stack
from gradscope.contract.initializer import Initializer
from gradscope.contract.model import Model
from gradscope.contract.probe import check_modes
from gradscope.errors import Unmeasurable

# The class of the same equations, and the name under which the catalogue has it.
CLASSES: dict[type[nn.Module], tuple[type[TorchCell], str]] = {
    nn.RNN: (RNN, "rnn"),
    nn.LSTM: (LSTM, "lstm"),
    nn.GRU: (GRU, "gru"),
}


class _Shared(Initializer):
    """Draws nothing: hands out parameters that there are, the very same objects, in the order a class asks for them."""

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self._parameters = iter(parameters)

    def uniform(self, *shape: int, bound: float) -> nn.Parameter:
        """The next one."""
        parameter = next(self._parameters)
        assert parameter.shape == shape
        return parameter


def torch_recurrence(module: nn.Module) -> Model | None:
    """A recurrence that shares a module's parameters, with their names; None for any other module.

    A module whose weights are computed from others (``torch.nn.utils.parametrizations``), or occur in it twice, is
    another module: its parameters are not those of the equations.

    Raises:
        Unmeasurable: Two directions, a projected state, or dropout between the layers in training mode.
    """
    if type(module) not in CLASSES or not isinstance(module, nn.RNNBase):
        return None
    cls, catalogue_name = CLASSES[type(module)]
    name = type(module).__name__
    if module.bidirectional:
        raise Unmeasurable(
            f"A bidirectional {name} reads the future, so its gradients have no direction in time; measure one with "
            "bidirectional=False."
        )
    if module.proj_size:
        raise Unmeasurable(
            f"The projected state of {name} (proj_size={module.proj_size}) is not measured; take proj_size=0, or "
            "measure a module of your own around it at its inputs."
        )
    check_modes(module)
    own = dict(module.named_parameters(recurse=False))
    layers: list[TorchCell] = []
    for index in range(module.num_layers):
        names = TorchCell.parameter_names(index, bias=module.bias)
        if not own.keys() >= set(names):
            return None
        size = module.hidden_size if layers else module.input_size
        shared = _Shared(own[each] for each in names)
        options = {"nonlinearity": module.nonlinearity} if isinstance(module, nn.RNN) else {}
        layers.append(cls(size, module.hidden_size, shared, layer=index, bias=module.bias, **options))
    model = layers[0] if len(layers) == 1 else Stack(layers, flat_names=True)
    relu = isinstance(module, nn.RNN) and module.nonlinearity == "relu"
    model.built_as = f"{catalogue_name}:nonlinearity=relu" if relu else catalogue_name
    return model
