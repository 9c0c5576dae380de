"""Boards and other TLS implementations, face to face: what the interoperability tests share."""
