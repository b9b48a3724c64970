"""What bench/run is made of: peers, scenarios, measurement, reports."""
