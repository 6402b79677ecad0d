"""The WebSocket client to the rendezvous."""
