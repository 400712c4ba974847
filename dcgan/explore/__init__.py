"""What the commands make of a generator's latent space: figures and files."""
