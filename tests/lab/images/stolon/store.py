"""The store: etcd v3 through its JSON gateway, with the flags of Stolon's etcdv3 backend."""

import base64
import http.client
import json
import ssl
import time
import urllib.parse

LEASE = 40  # Seconds: Stolon calls a keeper dead after 20, Patroni here after 45.


class Unavailable(Exception):
    """No endpoint answered, or none has a quorum: worth another try."""


class Refused(Exception):
    """The certificates are wrong: no other try makes them right."""


class Conflict(Exception):
    """Somebody wrote first."""


def encode(text):
    return base64.b64encode(text.encode()).decode()


def decode(text):
    return base64.b64decode(text).decode()


class Store:
    """Keys below PREFIX/CLUSTER, on the first endpoint that answers."""

    def __init__(self, options):
        self.endpoints = (options.store_endpoints or "http://127.0.0.1:2379").split(",")
        self.top = (options.store_prefix or "stolon/cluster").strip("/") + "/" + options.cluster_name
        self.timeout = float((options.store_timeout or "5s").removesuffix("s"))
        self.connection = None
        self.context = None
        try:
            self.context = ssl.create_default_context(cafile=options.store_ca_file or None)
            if options.store_skip_tls_verify:
                self.context.check_hostname = False
                self.context.verify_mode = ssl.CERT_NONE
            if options.store_cert_file:
                self.context.load_cert_chain(options.store_cert_file, options.store_key or None)
        except (OSError, ssl.SSLError) as error:
            raise Refused(f"cannot create kv store: {error}") from error

    def connect(self, endpoint):
        url = urllib.parse.urlsplit(endpoint)
        if url.scheme == "https":
            return http.client.HTTPSConnection(url.hostname, url.port or 2379,
                                               timeout=self.timeout, context=self.context)
        if url.scheme == "http":
            return http.client.HTTPConnection(url.hostname, url.port or 2379, timeout=self.timeout)
        raise Refused(f"cannot create kv store: `{endpoint}` is no http or https address")

    def call(self, path, body):
        """Asks the endpoint that answered last, then each once, the first of them last asked."""
        problems = []
        for _ in range(len(self.endpoints) + 1):
            try:
                if self.connection is None:
                    self.connection = self.connect(self.endpoints[0])
                self.connection.request("POST", path, json.dumps(body))
                answer = self.connection.getresponse()
                text = answer.read()
                if answer.status == 200:
                    return json.loads(text)
                problems.append(f"{self.endpoints[0]}: {answer.status} {text[:200].decode(errors='replace')}")
            except ssl.SSLError as error:
                # A lost connection is no wrong certificate, though both are errors of TLS.
                if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
                    problems.append(f"{self.endpoints[0]}: {error}")
                else:
                    raise Refused(f"{self.endpoints[0]}: {error}") from error
            except (OSError, http.client.HTTPException, ValueError) as error:
                problems.append(f"{self.endpoints[0]}: {error}")
            self.connection = None
            self.endpoints = self.endpoints[1:] + self.endpoints[:1]
        raise Unavailable("; ".join(problems))

    def read(self, key):
        """A key's value and its revision; None and 0 where it is not there."""
        found = self.call("/v3/kv/range", {"key": encode(key)}).get("kvs", [])
        return (decode(found[0].get("value", "")), int(found[0]["mod_revision"])) if found else (None, 0)

    def below(self, key):
        """The values of all keys that begin so."""
        end = key[:-1] + chr(ord(key[-1]) + 1)
        found = self.call("/v3/kv/range", {"key": encode(key), "range_end": encode(end)})
        return [decode(pair.get("value", "")) for pair in found.get("kvs", [])]

    def write(self, key, value, lease=None):
        self.call("/v3/kv/put", {"key": encode(key), "value": encode(value), "lease": lease or "0"})

    def replace(self, key, value, revision, lease=None):
        """Writes where the key is still as it was at that revision; 0: not there."""
        target = {"key": encode(key), "result": "EQUAL", "target": "MOD", "mod_revision": str(revision)}
        put = {"key": encode(key), "value": encode(value), "lease": lease or "0"}
        done = self.call("/v3/kv/txn", {"compare": [target], "success": [{"request_put": put}]})
        if not done.get("succeeded"):
            raise Conflict(key)

    def cluster(self):
        """The cluster data and its revision; None and 0 before `stolonctl init`."""
        text, revision = self.read(self.top + "/clusterdata")
        return (json.loads(text), revision) if text else (None, 0)

    def put_cluster(self, data, revision):
        data["changeTime"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.replace(self.top + "/clusterdata", json.dumps(data), revision)

    def infos(self, kind):
        """What the living keepers, sentinels or proxies say of themselves."""
        return sorted((json.loads(text) for text in self.below(f"{self.top}/{kind}/info/")),
                      key=lambda info: info["uid"])


class Presence:
    """A lease that lives as long as this process renews it, and keys that end with it."""

    def __init__(self, store):
        self.store = store
        self.lease = None

    def renew(self):
        if self.lease:
            answer = self.store.call("/v3/lease/keepalive", {"ID": self.lease})
            if int(answer.get("result", {}).get("TTL", "0")) > 0:
                return
        self.lease = self.store.call("/v3/lease/grant", {"TTL": str(LEASE)})["ID"]

    def tell(self, kind, info):
        """Says that this process is here, and what it is."""
        self.renew()
        self.store.write(f"{self.store.top}/{kind}/info/{info['uid']}", json.dumps(info), self.lease)

    def end(self):
        if self.lease:
            self.store.call("/v3/lease/revoke", {"ID": self.lease})
