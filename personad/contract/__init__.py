"""What the daemon and everything that talks to it agree on; the only part a client may import.

`base` holds the shapes that all share; then one noun a file: its events, requests and replies.
Importing this package costs nothing: import the noun that you need.
"""
