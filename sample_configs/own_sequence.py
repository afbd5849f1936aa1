"""Your own module for whole sequences: gradscope compare --arch sample_configs/own_sequence.py:TwoLayerGRU:at=first."""

from torch import nn


class TwoLayerGRU(nn.Module):
    """Maps ``(batch, length, input_size)`` to ``(batch, length, hidden_size)``."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.first = nn.GRU(input_size, hidden_size, batch_first=True)
        self.second = nn.GRU(hidden_size, hidden_size, batch_first=True)

    def forward(self, x):
        """Outputs of the second layer."""
        return self.second(self.first(x)[0])[0]
