"""The child process that speaks to the Hugging Face Hub: `python -m services.core.hub`.

It alone loads huggingface_hub and holds the Hub's token. It knows no database and no object store: it writes files
into a folder and speaks JSON lines with the service.
"""
