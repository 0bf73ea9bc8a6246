"""Flags as Stolon's programs take them: `--name value`, `--name=value`, or PREFIX_NAME in the environment."""

import argparse
import os
import sys
import time

COMMON = [
    "cluster-name", "store-backend", "store-endpoints", "store-prefix", "store-ca-file",
    "store-cert-file", "store-key", "store-timeout", "metrics-listen-address", "log-level",
]
COMMON_SWITCHES = ["store-skip-tls-verify", "log-color", "debug"]


class Parser(argparse.ArgumentParser):
    """Refuses what the real program does not know, with the real program's exit code."""

    def error(self, message):
        die(message)


def log(message):
    """One line to standard error, as a log."""
    sys.stderr.write(time.strftime("%Y-%m-%dT%H:%M:%SZ ", time.gmtime()) + message + "\n")
    sys.stderr.flush()


def die(message):
    """The end, with the reason."""
    sys.stderr.write(message + "\n")
    sys.exit(1)


def add(parser, prefix, names, switches):
    """Adds flags whose default is the environment's."""
    for name in names:
        parser.add_argument("--" + name, default=environment(prefix, name))
    for name in switches:
        default = environment(prefix, name) in ("true", "1", "t")
        parser.add_argument("--" + name, nargs="?", const=True, default=default,
                            type=lambda text: text in ("true", "1", "t"))


def environment(prefix, name):
    return os.environ.get(prefix + "_" + name.upper().replace("-", "_"), "")


def parser(program, prefix, names=(), switches=()):
    """A parser with the flags that all programs share and those given."""
    result = Parser(prog=program, allow_abbrev=False)
    add(result, prefix, COMMON + list(names), COMMON_SWITCHES + list(switches))
    return result


def check(options):
    """Refuses what no program of Stolon starts with."""
    if not options.cluster_name:
        die("cluster name required")
    if options.store_backend != "etcdv3":
        die("store backend type required" if not options.store_backend
            else "this stand-in knows the store backend etcdv3 alone")
