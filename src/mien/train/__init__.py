"""Networks, their checkpoints and their training. Needs the extra ``train`` (torch)."""
