"""Tensors only: a Llama-style decoder, its key-value cache and generation. Imports nothing of ours."""
