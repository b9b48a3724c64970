"""The parts, one file each: run(options) gives the Report of what became of it."""
