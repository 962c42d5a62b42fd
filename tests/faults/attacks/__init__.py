"""Attacks of hostile clients on a server with little memory."""
