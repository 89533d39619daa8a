"""One process of simulated players, over the Python client; ``loadtest.running`` starts it."""
