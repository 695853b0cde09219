"""One command a file: its flags, and what it says. Jobs with commands of their own stand one folder up."""
