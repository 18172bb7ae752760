"""Checkpoint formats: Hugging Face folders, GGUF files, LoRA adapters and our own training checkpoints.

Foreign parameter names are translated by :mod:`model.formats.state_dict_adapter`; start reading there.
"""
