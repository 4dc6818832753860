# SPDX-License-Identifier: MPL-2.0
"""What is compared with what, and what each side does and does not do for it.

The facts are those of the versions in Debian 12, as this comparison configures them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Facts:
    tls: str
    signed: str
    authorised: str  # per request
    synced: str  # to disk, before the acknowledgement
    crosses: str


@dataclass(frozen=True)
class Row:
    name: str
    scenario: str  # of rvi bench
    peer: str
    peer_scenario: str  # of the peer's driver
    peer_name: str
    measure: str  # "rate", in messages a second, or "p50", in microseconds
    ours: Facts
    theirs: Facts
    note: str
    outstanding: int | None = None  # None: as asked for durable messages
    durability: str | None = None  # None: as the scenario has it

    @property
    def group(self) -> tuple[str, int | None]:
        """Rows of a group are measured in turns."""
        return (self.scenario, self.outstanding)


DURABLE = Facts("1.3", "yes", "each, by both", "yes, by both", "two nodes")
IN_MEMORY = Facts("1.3", "yes", "each, by both", "no", "two nodes")
METRIC = Facts("1.3", "no", "subscription", "no", "two nodes")
JETSTREAM = Facts("1.3", "no", "no", "no: 2 min", "one server")
RABBITMQ = Facts("1.3", "no", "user", "yes, its only node", "one broker")
MOSQUITTO = Facts("1.3", "no", "no", "no: 30 min", "one broker")
NATS_CORE = Facts("1.3", "no", "no", "no", "one server")

LEGEND = """\
TLS         rvi: between its nodes, services speak to their node over a Unix socket; peers: between
            each client and the broker, whose certificate the clients verify.
SIGNED      with the sender's key, verified by the receiving node: one signature covers a batch.
            Metrics are vouched for by the session they come in.
AUTHORISED  each request against signed credentials, where it is made and where it arrives; metrics
            when they are subscribed to. user: what the connection's user may do. NATS and mosquitto
            could check subjects and topics of a connection, which is off here.
SYNCED      before the sender is told that it was taken. 2 min, 30 min: how often it is by default
            (sync_interval; autosave_interval 1800, so not in a run). From the documentation of
            Debian 12's versions and seen by tracing the calls once, not counted in this run."""

ROWS = [
    Row(
        "message-jetstream", "message", "nats", "jetstream", "JetStream", "rate",
        DURABLE, JETSTREAM,
        "js_PublishAsync into a stream on file; no consumer, while rvi also delivers",
    ),
    Row(
        "message-rabbitmq", "message", "rabbitmq", "message", "RabbitMQ", "rate",
        DURABLE, RABBITMQ,
        "quorum queue of one node, publisher confirms, a consumer that acknowledges",
    ),
    Row(
        "message-mosquitto", "message", "mosquitto", "message", "mosquitto", "rate",
        DURABLE, MOSQUITTO,
        "QoS 1, persistence on, a QoS 1 subscriber with a lasting session",
    ),
    Row(
        "rpc-1", "rpc", "nats", "rpc", "NATS core", "p50", IN_MEMORY, NATS_CORE,
        "durability none; request and reply, each written at once",
        outstanding=1, durability="none",
    ),
    Row(
        "rpc-256", "rpc", "nats", "rpc", "NATS core", "rate", IN_MEMORY, NATS_CORE,
        "durability none; requests with one inbox for all replies, written in batches",
        outstanding=256, durability="none",
    ),
    Row(
        "metric", "metric", "nats", "metric", "NATS core", "rate", METRIC, NATS_CORE,
        "publish to a subscriber", outstanding=256,
    ),
]  # fmt: skip
