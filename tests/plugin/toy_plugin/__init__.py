"""What somebody else's distribution may bring to federated-bench."""
