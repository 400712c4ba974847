"""What the commands that explore the latent space do: figures and files."""
