"""``torch.nn.RNN``, ``LSTM`` and ``GRU`` as the architectures of the same equations, around the same parameters."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from gradscope import homes
from gradscope.architectures.catalogue import ARCHITECTURES
from gradscope.architectures.torch_cell import TorchCell
from gradscope.contract.combinators import Stack
from gradscope.contract.initializer import Initializer
from gradscope.contract.model import Model
from gradscope.contract.option import OptionValue, with_options
from gradscope.contract.probe import check_modes
from gradscope.errors import Unmeasurable


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
    another module: its parameters are not those of the equations. So is one with hooks, whatever they do, or with a
    forward pass of its own.

    Raises:
        Unmeasurable: Two directions, a projected state, or dropout between the layers in training mode.
    """
    catalogue_name = _catalogue_name(module)
    if catalogue_name is None or not isinstance(module, nn.RNNBase):
        return None
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
    spec = ARCHITECTURES[catalogue_name]
    make, options = spec.load(), {key: getattr(module, key) for key in spec.torch_options}
    layers: list[Model] = []
    for index in range(module.num_layers):
        names = TorchCell.parameter_names(index, bias=module.bias)
        if not own.keys() >= set(names):
            return None
        size = module.hidden_size if layers else module.input_size
        shared = _Shared(own[each] for each in names)
        layers.append(make(size, module.hidden_size, shared, layer=index, bias=module.bias, **options))
    model = layers[0] if len(layers) == 1 else Stack(layers, flat_names=True)
    defaults: dict[str, OptionValue] = {option.name: option.default for option in spec.options}
    model.built_as = with_options(
        catalogue_name, {key: value for key, value in options.items() if value != defaults[key]}
    )
    return model


def _catalogue_name(module: nn.Module) -> str | None:
    """The architecture whose class of torch, and forward pass, a module has; None for any other module."""
    hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
    if any(hooks) or "forward" in vars(module) or type(module).__call__ is not nn.Module.__call__:
        return None
    named = ((name, homes.load(spec.torch_class)) for name, spec in ARCHITECTURES.items() if spec.torch_class)
    return next((name for name, cls in named if isinstance(module, cls) and type(module).forward is cls.forward), None)
