"""What the commands share: options, cells, files, tables and pictures in general."""
