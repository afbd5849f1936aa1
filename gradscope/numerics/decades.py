"""How many decades count."""

VANISHED_DECADES = 2.0  # a gradient so far below its reference has vanished, so far above exploded; a memory is lost
