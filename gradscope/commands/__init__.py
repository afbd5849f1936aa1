"""The commands, one folder each; a command is registered here by one line and loaded when it is asked for."""

# Commands that measure, each a MeasuringCommand; a TOML file can name them.
MEASURING = {
    "compare": "gradscope.commands.compare.command:COMMAND",
    "spectrum": "gradscope.commands.spectrum.command:COMMAND",
    "sensitivity": "gradscope.commands.sensitivity.command:COMMAND",
}
# The others, each a function that adds it to the application.
OTHERS = {
    "check": "gradscope.commands.check.command:register",
    "baseline": "gradscope.commands.check.baseline_command:register",
    "run": "gradscope.commands.files.command:register_run",
    "plot": "gradscope.commands.files.command:register_plot",
    "list": "gradscope.commands.catalogue.command:register_list",
    "explain": "gradscope.commands.catalogue.command:register_explain",
}
