"""Numbers that know no model: scaled arithmetic, random streams, spectra of matrices, growth by QR."""
