"""What bench/fleet/run is made of: backends that can be slow, ill or dead, a load that does not
wait for answers, and the five parts."""
