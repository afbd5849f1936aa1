"""The slow, obvious twin: a plain loop over time with ``retain_grad`` on every node."""

import torch

from gradscope.contract.combinators import Parallel, Stack
from gradscope.contract.recurrence import Recurrence
from gradscope.contract.sequence import SequenceModel


def unrolled(model, x):
    """Outputs ``(batch, T, features)`` and component name to its tensors, one per step, gradients retained."""
    if isinstance(model, Stack):
        nodes = {}
        for index, layer in enumerate(model.layers):
            x, found = unrolled(layer, x)
            nodes |= {f"{name}_l{index}": value for name, value in found.items()}
        return x, nodes
    if isinstance(model, Parallel):
        outputs, nodes = [], {}
        for name, branch in model.branches.items():
            y, found = unrolled(branch, x)
            outputs.append(y)
            nodes |= {f"{name}.{component}": value for component, value in found.items()}
        return sum(outputs) / len(outputs), nodes
    if isinstance(model, SequenceModel):
        y, nodes = model.forward_with_nodes(x)
        for node in nodes.values():
            node.retain_grad()
        return y, nodes
    assert isinstance(model, Recurrence)
    u, s, outputs = model.prepare(x), model.initial_state(len(x)), []
    nodes = {name: [] for name in model.components}
    for index in range(x.shape[1]):
        u_t = {name: value[:, index] for name, value in u.items()}
        s = model.step(s, u_t, torch.tensor(index + 1))
        for name in model.components:
            s[name].retain_grad()
            nodes[name].append(s[name])
        outputs.append(model.readout(s, u_t))
    return torch.stack(outputs, 1), nodes


def log10_norms(node):
    """log10 norms ``(batch, time)`` of the retained gradients."""
    if isinstance(node, torch.Tensor):
        return torch.log10(node.grad.norm(dim=-1))
    grads = [torch.zeros_like(v) if v.grad is None else v.grad for v in node]
    return torch.log10(torch.stack([g.abs().flatten(1).norm(dim=1) for g in grads], 1))
