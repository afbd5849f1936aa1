"""Numbers that know no model: scaled arithmetic, random streams, spectra, products and growth by QR, statistics."""
