"""Where imports come from: a drop directory, https, S3, the Hugging Face Hub."""
