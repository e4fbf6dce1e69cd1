"""The web page. It sees the system only through the SDK."""
