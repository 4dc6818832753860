# SPDX-License-Identifier: MPL-2.0
"""The peers' brokers: child processes in a temporary directory, on free ports of loopback."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

STARTED_WITHIN_S = 90.0  # RabbitMQ takes a quarter of it on a slow machine
STOPPED_WITHIN_S = 5.0  # what they keep is thrown away, so nothing is worth a longer wait
# Debian has some servers where only root looks for programs.
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin"])
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class BrokerError(Exception):
    """Why a broker does not run, in one line."""


ports_given: set[int] = set()


def free_port() -> int:
    """One that was not given before, and below those that the kernel gives to connections: it may
    take seconds until a broker listens on it."""
    for port in random.sample(range(20_000, 32_000), 1_000):
        with socket.socket() as x:
            try:
                x.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in ports_given:
            ports_given.add(port)
            return port
    raise BrokerError("no free port on loopback")


def make_certificates(directory: Path) -> None:
    """ca.pem, and server.pem with server.key, which is valid for localhost (EC P-256)."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    steps = [
        ["req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=bench CA"],
        ["req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost"],
        ["x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
         "-CAcreateserial", "-out", "server.pem", "-extfile", "server.ext"],
    ]  # fmt: skip
    (directory / "server.ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    for step in steps:
        done = subprocess.run(["openssl", *step], cwd=directory, capture_output=True, text=True)
        if done.returncode != 0:
            raise BrokerError("openssl makes no certificate: " + done.stderr.strip()[-200:])


def process_table() -> dict[int, tuple[int, int]]:
    """Of each process: its parent and the ticks of CPU time it has taken."""
    table = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                # The name in parentheses may hold anything, so what follows the last one is read.
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has ended
            table[int(entry.name)] = (int(fields[1]), int(fields[11]) + int(fields[12]))
    return table


class Broker:
    """One broker; `stop` ends it however far `start` came, and it may be started again."""

    def __init__(self, directory: Path, certificates: Path) -> None:
        self.directory = directory
        self.certificates = certificates
        self.port = 0
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir()
        self.port = free_port()
        self.run()
        self.wait_for_port(self.port)

    def run(self) -> None:
        """Writes its configuration and launches it."""
        raise NotImplementedError

    def launch(self, command: list[str], environment: dict[str, str] | None = None) -> None:
        """In a session of its own: Ctrl-C reaches only the script, which then ends all in order."""
        with self.log.open("ab") as output:
            self.processes.append(
                subprocess.Popen(
                    command,
                    cwd=self.directory,
                    env={**os.environ, "PATH": SEARCH_PATH, **(environment or {})},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            )

    def wait_for_port(self, port: int) -> None:
        until = time.monotonic() + STARTED_WITHIN_S
        while time.monotonic() < until:
            for process in self.processes:
                if process.poll() is not None:
                    raise BrokerError(f"ended with code {process.returncode}: {self.last_words()}")
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.1)
        raise BrokerError(f"not ready after {STARTED_WITHIN_S:.0f} s: {self.last_words()}")

    @property
    def log(self) -> Path:
        return self.directory / "output.log"

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return " / ".join(x.strip() for x in lines[-6:] if x.strip())[-400:]

    def tree(self, table: dict[int, tuple[int, int]]) -> set[int]:
        """What was launched here, and all their children."""
        found = {x.pid for x in self.processes} & table.keys()
        while more := {pid for pid, (parent, _) in table.items() if parent in found} - found:
            found |= more
        return found

    def cpu_us(self) -> float:
        table = process_table()
        return sum(table[pid][1] for pid in self.tree(table)) * 1e6 / TICKS_PER_S

    def stop(self) -> None:
        alive = self.tree(process_table())
        for process in reversed(self.processes):
            process.terminate()
        until = time.monotonic() + STOPPED_WITHIN_S
        for process in self.processes:
            try:
                process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        # A child whose parent has ended would stay behind.
        for pid in alive & process_table().keys() - {x.pid for x in self.processes}:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.processes.clear()


class Nats(Broker):
    """One server for core and JetStream. All else is as by default, so also how it syncs."""

    def run(self) -> None:
        config = self.directory / "nats.conf"
        config.write_text(f"""\
listen: "127.0.0.1:{self.port}"
tls {{
  cert_file: "{self.certificates}/server.pem"
  key_file: "{self.certificates}/server.key"
}}
jetstream {{ store_dir: "{self.directory}" }}
""")
        self.launch(["nats-server", "--config", str(config)])


class Mosquitto(Broker):
    """With persistence at its default interval: the database is written each 30 minutes and at the
    end. By default 20 messages of a client are in flight and 1000 queued, more are dropped: no such
    limits here. Started as root it would become a user who may not read its directory."""

    def run(self) -> None:
        config = self.directory / "mosquitto.conf"
        config.write_text(f"""\
user root
listener {self.port} 127.0.0.1
allow_anonymous true
cafile {self.certificates}/ca.pem
certfile {self.certificates}/server.pem
keyfile {self.certificates}/server.key
tls_version tlsv1.3
persistence true
persistence_location {self.directory}/
autosave_interval 1800
max_inflight_messages 0
max_queued_messages 0
set_tcp_nodelay true
log_type error
log_type warning
""")
        self.launch(["mosquitto", "-c", str(config)])


class RabbitMq(Broker):
    """One node, TLS only. Debian's command in the path would change to the user rabbitmq, whose
    directories are not ours; the server's own script runs for anybody who owns the directories."""

    SCRIPT = "/usr/lib/rabbitmq/bin/rabbitmq-server"

    def run(self) -> None:
        config = self.directory / "rabbitmq.conf"
        config.write_text(f"""\
listeners.tcp = none
listeners.ssl.1 = 127.0.0.1:{self.port}
ssl_options.cacertfile = {self.certificates}/ca.pem
ssl_options.certfile = {self.certificates}/server.pem
ssl_options.keyfile = {self.certificates}/server.key
ssl_options.versions.1 = tlsv1.3
ssl_options.verify = verify_none
ssl_options.fail_if_no_peer_cert = false
log.file = false
log.console = true
log.console.level = warning
""")
        (self.directory / "enabled_plugins").write_text("[].\n")
        mapper_port = free_port()
        environment = {
            "HOME": str(self.directory),  # of the Erlang cookie
            "ERL_EPMD_PORT": str(mapper_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": "bench@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_CONF_ENV_FILE": str(self.directory / "none.conf"),
            "RABBITMQ_CONFIG_FILE": str(config),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.directory / "none.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.directory / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.directory / "log"),
            "RABBITMQ_PID_FILE": str(self.directory / "pid"),
        }
        # Erlang would start a port mapper that outlives it, unless there is one.
        self.launch(["epmd", "-port", str(mapper_port), "-address", "127.0.0.1"], environment)
        self.wait_for_port(mapper_port)
        self.launch([self.SCRIPT], environment)
