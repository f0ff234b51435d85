"""The link between transmitters and receiver in simulated time: turns, airtime, delay and loss."""
