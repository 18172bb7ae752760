"""Model formats: Hugging Face folders, GGUF files, LoRA adapters and our own training checkpoints.

:mod:`model.formats.state_dict_adapter` translates foreign parameter names; start reading there.
"""
