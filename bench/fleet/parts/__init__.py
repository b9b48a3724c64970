"""The parts, one file each: run(options) gives what became of it, as bench/fleet/report.py shows it."""
