"""From words on a command line or in a TOML file to a checked configuration; imports no torch."""
