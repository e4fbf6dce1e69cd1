"""Parts of the fine-tune page and of the job page."""
