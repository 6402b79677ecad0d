"""QUIC connections between peers, over one of two libraries and any path."""

from p2p.quic.connection import QuicConnection
from p2p.quic.datagrams import DatagramQueue
from p2p.quic.endings import ConnectionClosedError
from p2p.quic.engine import ConnectionStats, Engine, EngineConfig, EngineConnection, ServerCredentials
from p2p.quic.handler import DatagramLink, StreamHandler
from p2p.quic.load import ENGINE_NAMES, load_engine
from p2p.quic.routing import CidRouter, RoutingStats

__all__ = [
    "ENGINE_NAMES",
    "CidRouter",
    "ConnectionClosedError",
    "ConnectionStats",
    "DatagramLink",
    "DatagramQueue",
    "Engine",
    "EngineConfig",
    "EngineConnection",
    "QuicConnection",
    "RoutingStats",
    "ServerCredentials",
    "StreamHandler",
    "load_engine",
]
