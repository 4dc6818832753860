# SPDX-License-Identifier: MPL-2.0
"""What the comparison needs from Debian, and its drivers, compiled from the sources beside this."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).resolve().parent
TOOLS = ["openssl", "g++", "pkg-config"]


@dataclass(frozen=True)
class Peer:
    server: str  # Debian's packages
    library: str
    module: str  # pkg-config's name of the library

    @property
    def packages(self) -> list[str]:
        return [self.server, self.library]


PEERS = {
    "nats": Peer("nats-server", "libnats-dev", "libnats"),
    "mosquitto": Peer("mosquitto", "libmosquitto-dev", "libmosquitto"),
    "rabbitmq": Peer("rabbitmq-server", "librabbitmq-dev", "librabbitmq"),
}

# Nothing that is installed here may start, now or at the next boot: the comparison starts its own.
# Services that were there before are left as they are.
INSTALL = """\
set -eu
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\\nexit 101\\n' >"$policy"
  chmod 755 "$policy"
fi
had_erlang=no
dpkg-query -W -f='${Status}' erlang-base 2>/dev/null | grep -q 'ok installed' && had_erlang=yes
export DEBIAN_FRONTEND=noninteractive
apt-get install -y -qq --no-install-recommends "$@" >/dev/null
if command -v systemctl >/dev/null; then
  for package in "$@"; do
    case "$package" in
      nats-server | mosquitto) systemctl disable --quiet "$package" 2>/dev/null || true ;;
      rabbitmq-server)
        systemctl disable --quiet "$package" 2>/dev/null || true
        [ "$had_erlang" = yes ] || systemctl disable --quiet epmd.socket 2>/dev/null || true ;;
    esac
  done
fi
"""


class PackageError(Exception):
    """Why something cannot be installed or compiled, in one line."""


def installed_version(package: str) -> str | None:
    done = subprocess.run(
        ["dpkg-query", "-W", "-f=${Status} ${Version}", package], capture_output=True, text=True
    )
    status, _, version = done.stdout.rpartition(" ")
    return version if done.returncode == 0 and status.endswith("ok installed") else None


class Installer:
    """Installs only what is missing; brings the lists of packages up to date once, if at all."""

    def __init__(self, allowed: bool) -> None:
        self.allowed = allowed
        self.updated = False

    def require(self, packages: list[str]) -> None:
        missing = [x for x in packages if installed_version(x) is None]
        if not missing:
            return
        if not self.allowed:
            raise PackageError(f"not installed, and --no-install was given: {' '.join(missing)}")
        if not self.updated:
            self.as_root(["apt-get", "update", "-qq"])
            self.updated = True
        self.as_root(["sh", "-c", INSTALL, "install", *missing])

    def as_root(self, command: list[str]) -> None:
        sudo = [] if os.geteuid() == 0 else ["sudo"]
        try:
            done = subprocess.run([*sudo, *command], capture_output=True, text=True)
        except OSError as error:
            raise PackageError(f"cannot run {[*sudo, *command][0]}: {error.strerror}") from None
        if done.returncode != 0:
            lines = done.stderr.splitlines() or ["no reason given"]
            errors = [x for x in lines if x.startswith("E:")] or lines
            raise PackageError(f"cannot install: {errors[-1]}")


def compile_driver(name: str, directory: Path) -> Path:
    """The driver of a peer; compiled only if it is older than its sources."""
    source, program = SOURCES / f"{name}_load.cpp", directory / f"{name}_load"
    newest = max(x.stat().st_mtime for x in (source, SOURCES / "load.hpp"))
    if program.exists() and program.stat().st_mtime >= newest:
        return program
    directory.mkdir(parents=True, exist_ok=True)
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", PEERS[name].module], capture_output=True, text=True
    )
    if flags.returncode != 0:
        raise PackageError(f"pkg-config does not know {PEERS[name].module}")
    command = ["g++", "-std=c++20", "-O2", "-Wall", "-Wextra", "-pthread", str(source)]
    command += ["-o", str(program), *flags.stdout.split()]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise PackageError(f"{source.name} does not compile:\n{done.stderr}")
    return program
