"""Numbers that know no model: scaled arithmetic, random streams, spectra, products and growth by QR, statistics."""

VERSION = 3  # of how numbers are computed, part of what a finished cell is recognised by: raised where any may move
