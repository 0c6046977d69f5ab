"""What the installation stands on, checked: behind the command ``doctor``."""
