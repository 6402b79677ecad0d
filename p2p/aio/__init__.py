"""The asyncio shell: drives any machine, owns sockets and tasks."""
