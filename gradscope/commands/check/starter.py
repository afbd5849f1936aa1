"""The commented case file that a project starts from."""

STARTER = """\
# Cases of `gradscope baseline record` and `gradscope check`: do gradients still travel back through time as they did?
#
#     gradscope baseline record               measures the cases and writes gradscope-baseline.json; commit both files
#     gradscope check                         measures again and compares: exit code 1 where gradients have changed
#     gradscope check --against origin/main   compares with the code of another revision; needs no baseline
#
# Every key is an option of `gradscope compare` of the same name. What stands here, above the first [[case]], holds for
# all cases; a case may say otherwise. The same can stand in pyproject.toml, as [tool.gradscope] and
# [[tool.gradscope.case]].

lengths = [10, 50, 200]     # sequence lengths; "10..1000" is the series 10, 20, 50, 100, …
hidden-size = 32            # small models are enough, and fast
input-size = 16
batch = 8
seeds = 5                   # each of them draws its own weights, inputs and targets
input = "white"             # or "ar1:rho=0.9", "constant", "wiki-like", "adding", "copy"; see: gradscope list
loss = "last"               # or "mean", "last-probe"

# What is compared, all of it in decades (log10):
#     gradients     norms at about 16 log-spaced steps of every length
#     slope         decades per step, times the length
#     weights       norms of the gradient of every parameter, at the longest length
#     exponent      largest Lyapunov exponent, times the length
#     radius        median spectral radius of the state's Jacobian, times the length
#     sensitivity   how fast the sensitivity to the recurrence grows with memory; for models with a memory dial
gate = ["gradients", "slope", "weights"]

# tolerance = 0.01          # decades; never below 0.01, nor below ten times the rounding noise that is measured

[[case]]
arch = "lstm:forget_bias=1"

[[case]]
arch = ["gru", "lru"]       # one case each, called "gru" and "lru"
# num-layers = 2

# A class of your own, from a file beside this one (or package.module:ClassName); options follow after colons.
# [[case]]
# name = "my cell"
# arch = "my_cell.py:MyCell:forget_bias=1"
# gate = ["gradients", "slope", "weights", "exponent"]
"""
