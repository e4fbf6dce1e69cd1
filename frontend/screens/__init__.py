"""One module a page. Not named "pages": Streamlit would run files of that folder by themselves, without `script`."""
