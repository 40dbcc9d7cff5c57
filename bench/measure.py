"""One load on one candidate, and the parts of the bench: each gives rows of figures."""

import base64
import json
import os
import pathlib
import random
import socket
import subprocess
import time
import urllib.request
from statistics import median

import candidates
from candidates import PROJECT, RELEASE
from system import cpu, memory, open_files, wait_until

LOCATIONS = "/usr/share/libloc-location/location.db"
CLIENT = str(RELEASE / "forever200-bench")
MODERATE_RATE = 2000  # Requests a second: what all candidates but the slowest take with ease.
SLOW_RATE = 500  # For those that do not.


def client(*arguments):
    output = subprocess.run([CLIENT, *map(str, arguments)], check=True, stdout=subprocess.PIPE).stdout
    return json.loads(output.splitlines()[-1])


def load(peer, pids, requests, *arguments):
    """Presses; what the clients saw, with the CPU time of a request, in microseconds, over all these processes."""
    before = cpu(pids)
    seen = client("load", peer, "--requests", requests, *arguments)
    seen["cpu"] = (cpu(pids) - before) / requests
    seen["per_second"] = requests / seen["seconds"]
    return seen


def medians(rounds):
    """The median of each figure over rounds; of failures their sum."""
    return {
        figure: sum(values) if figure == "failed" else median(values)
        for figure in rounds[0]
        for values in [[one[figure] for one in rounds]]
    }


def in_turns(rounds, measures):
    """Runs all measures one after the other, again and again: A B C A B C. Gives the rounds of each."""
    taken = {name: [] for name in measures}
    for number in range(rounds):
        for name, measure in measures.items():
            taken[name].append(measure())
        print(f"  round {number + 1} of {rounds}", flush=True)
    return taken


def answers(folder, rounds):
    """Part 1: every candidate at full load, then at a moderate rate."""
    running = [kind(folder, kind.__name__) for kind in candidates.ALL]
    try:
        idle = {one.title: memory(one.pids()) for one in running}

        def measure(one, requests, rate):
            def both():
                full = load(one.peer, one.pids(), requests)
                steady = load(one.peer, one.pids(), rate * 2, "--rate", rate)
                return {"full": full, "steady": steady}
            return both

        slow = (candidates.Socketserver, candidates.NodeEcho)
        measures = {
            one.title: measure(one, *((8000, SLOW_RATE) if isinstance(one, slow) else (60000, MODERATE_RATE)))
            for one in running
        }
        in_turns(1, measures)  # To warm up.
        taken = in_turns(rounds, measures)
        return {
            title: {
                "rounds": taken[title],
                "full": medians([one["full"] for one in taken[title]]),
                "steady": medians([one["steady"] for one in taken[title]]),
                "idle_mib": idle[title],
                "mib": memory(one.pids()),
            }
            for title, one in zip(taken, running)
        }
    finally:
        for one in running:
            one.end()


def half(folder, rounds):
    """The composition at half of the rate that it reached at full load in the same round."""
    one = candidates.Forever200(folder, "half")
    try:
        taken = []
        for _ in range(rounds):
            rate = int(load(one.peer, one.pids(), 40000)["per_second"] / 2)
            taken.append(load(one.peer, one.pids(), rate * 3, "--rate", rate))
        return medians(taken)
    finally:
        one.end()


def by_ab(folder, rounds):
    """The same by a client that everybody knows, for those that speak TCP."""
    kinds = (candidates.Responder, candidates.Nginx, candidates.Forever200, candidates.TcpToNginx)
    running = [kind(folder, f"ab-{kind.__name__}") for kind in kinds]

    def measure(one, requests=40000):
        pids = one.pids()
        before = cpu(pids)
        command = ["ab", "-q", "-n", str(requests), "-c", "64", f"http://{one.peer}/"]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        said = {name.strip(): value for name, _, value in (line.partition(":") for line in output.splitlines())}
        return {
            "per_second": float(said["Requests per second"].split()[0]),
            "cpu": (cpu(pids) - before) / requests,
            "failed": int(said["Failed requests"]) + int(said.get("Non-2xx responses", 0)),
        }

    try:
        return {
            name: medians(taken)
            for name, taken in in_turns(rounds, {one.title: lambda one=one: measure(one) for one in running}).items()
        }
    finally:
        for one in running:
            one.end()


def million(folder, millions):
    """Requests by the million: does any fail?"""
    one = candidates.Forever200(folder, "million")
    try:
        taken = [load(one.peer, one.pids(), 1_000_000) for _ in range(millions)]
        return {**medians(taken), "requests": millions * 1_000_000, "mib": memory(one.pids())}
    finally:
        one.end()


def fetch(address, path, encoding="identity"):
    request = urllib.request.Request(f"http://{address}{path}", headers={"Accept-Encoding": encoding})
    with urllib.request.urlopen(request) as answer:
        return answer.read()


def fill(one, length):
    """A full ring of requests of that length, no two alike and nothing that compresses well."""
    chance = random.Random(length)
    for number in range(101):
        body = base64.b64encode(chance.randbytes(length))[: length - 100].decode()
        urllib.request.urlopen(urllib.request.Request(f"http://{one.peer}/{number}", body.encode())).read()
    wait_until("all of them are on the page", lambda: len(json.loads(fetch(one.viewer, "/home/api/requests"))["requests"]) == 101)


def requests_for(size, least, most):
    """So many that about 400 MB come back, within these limits."""
    return max(least, min(most, 400_000_000 // size))


def page(folder, rounds):
    """Part 2: what the viewer serves, and nginx serving the same bytes from files."""
    for_all = [(path, encoding) for path in ("/home", "/home/api/requests") for encoding in ("identity", "gzip")]
    for_one = [("/home/requests/101", "identity"), ("/home/requests/101", "gzip")]
    for_one += [(f"/home/export.{kind}", "identity") for kind in ("ndjson", "har", "html", "pcap")]
    rows = {}
    for length in (1024, 65536 - 300):
        one, nginx = candidates.Forever200(folder, f"page{length}"), candidates.Nginx(folder, f"files{length}")
        try:
            fill(one, length)
            measures = {}
            for path, encoding in for_all + for_one:
                file = path.removeprefix("/") + (".html.gz" if encoding == "gzip" else ".html")
                copy = nginx.folder / file
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(fetch(one.viewer, path, encoding))
                size = copy.stat().st_size
                requests = requests_for(size, 5000, 20000) if (path, encoding) in for_all else requests_for(size, 10, 200)
                for title, peer, pids in (
                    ("viewer", one.viewer, one.pids_of("forever200-view", "memcached")), ("nginx", nginx.peer, nginx.pids()),
                ):
                    arguments = ["--path", path, "--clients", 8, "--header", f"Accept-Encoding: {encoding}"]
                    # A clock that ticks a hundred times a second says nothing of twenty files.
                    many = requests if title == "viewer" else max(requests, 2000 if size < 2_000_000 else 40)
                    measures[f"{path} {encoding} {length} {title}"] = (
                        lambda peer=peer, pids=pids, arguments=arguments, size=size, many=many:
                            {**load(peer, pids, many, *arguments), "bytes": size}
                    )
            in_turns(1, measures)
            rows |= {name: {"rounds": taken, **medians(taken)} for name, taken in in_turns(rounds, measures).items()}
        finally:
            one.end()
            nginx.end()
    return rows


def watchers(folder, rounds):
    """Events to watchers: CPU time of all processes in a second, while 100 requests come in it."""
    one = candidates.Forever200(folder, "watchers")
    rows = {}
    try:
        for count in (0, 1, 10, 100, 1000):
            taken = []
            for _ in range(rounds):
                watching = subprocess.Popen(
                    [CLIENT, "watch", one.peer, "--watchers", str(count), "--seconds", "5"], stdout=subprocess.PIPE)
                time.sleep(1.5)  # Until all are connected.
                before, began = cpu(one.pids()), time.monotonic()
                client("load", one.peer, "--requests", 250, "--rate", 100)
                used, took = cpu(one.pids()) - before, time.monotonic() - began
                seen = json.loads(watching.communicate()[0])
                taken.append({**seen, "cpu_a_second": used / took, "failed": 0})
            rows[count] = medians(taken)
        return rows
    finally:
        one.end()


def visible(folder, rounds):
    """Part 3: from the answer until it is seen, with nobody else there and at full load."""
    one = candidates.Forever200(folder, "visible")
    try:
        rows = {}
        for title, clients in (("idle", 0), ("full load", 64)):
            taken = [client("visible", one.peer, "--clients", clients, "--seconds", 8) for _ in range(rounds)]
            events = medians([{**seen.pop("events"), "failed": 0} for seen in taken])
            rows[title] = {**medians([{**seen, "failed": 0} for seen in taken]), "events": events}
        return rows
    finally:
        one.end()


def idle_connections(folder):
    """Part 4: memory by connections that are there and say nothing."""
    rows = {}
    for name, kind in (("responder", candidates.Responder), ("forever200", candidates.Forever200)):
        one = kind(folder, f"idle-{name}")
        try:
            client("load", one.peer, "--requests", 1000)
            base, files = memory(one.pids()), open_files(one.pids())
            for count in (1, 100, 1000, 7000):
                holding = subprocess.Popen(
                    [CLIENT, "hold", one.peer, "--connections", str(count)],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                if not holding.stdout.readline():
                    raise SystemExit(f"{count} connections could not be opened")
                # Connected is not accepted yet. (Nor may the first be closed again, for saying nothing.)
                wait_until(f"{count} are accepted", lambda: open_files(one.pids()) >= files + count)
                rows[f"{name} {count}"] = {"mib": memory(one.pids()), "base": base}
                holding.communicate()
                wait_until(f"{count} are closed", lambda: open_files(one.pids()) <= files + 5)
        finally:
            one.end()
    return rows


def programs(folder):
    """Memory of the two programs, idle, when some requests have come and nobody has looked at the page."""
    one = candidates.Forever200(folder, "programs")
    try:
        client("load", one.peer, "--requests", 200)
        time.sleep(2)
        each = {name: memory(one.pids_of(name)) for name in ("forever200-resp", "forever200-view")}
        fetch(one.viewer, "/home")
        looked = memory(one.pids_of(*each))
        return {"mib": sum(each.values()), **each, "looked": looked}
    finally:
        one.end()


def nobody_looks(folder):
    """CPU time of each program in a second, in microseconds, over 30 s: nothing comes, then 100 requests a second."""
    one = candidates.Forever200(folder, "nobody")
    names = {"haproxy": "haproxy", "memcached": "memcached", "forever200-resp": "responder", "forever200-view": "viewer"}
    seconds = 30

    def by_program():
        used = {name: 0 for name in [*names.values(), "supervisord"]}
        for pid in one.pids():
            comm = (pathlib.Path("/proc") / str(pid) / "comm").read_text().strip()
            used[names.get(comm, "supervisord")] += cpu([pid])
        return used

    def while_it(comes):
        before = by_program()
        comes()
        return {name: (used - before[name]) / seconds for name, used in by_program().items()}

    try:
        fill(one, 1024)
        time.sleep(12)  # Until the viewer takes nobody for somebody who may look again.
        return {
            "nothing": while_it(lambda: time.sleep(seconds)),
            "100 requests/s": while_it(lambda: client("load", one.peer, "--requests", 100 * seconds, "--rate", 100)),
        }
    finally:
        one.end()


def request_bytes(folder, rounds):
    """Part 4: CPU time by the length of a request."""
    one = candidates.Forever200(folder, "bytes")
    try:
        measures = {
            str(length): lambda length=length: load(one.peer, one.pids(), 40000 if length < 9000 else 10000, "--body", length)
            for length in (0, 1024, 4096, 16384, 65000)
        }
        return {name: medians(taken) for name, taken in in_turns(rounds, measures).items()}
    finally:
        one.end()


def responders(folder, rounds):
    """Part 4: CPU time and rate by the number of responders."""
    running = {count: candidates.Forever200(folder, f"responders{count}", count) for count in (1, 2, 4, 8)}
    try:
        measures = {str(count): lambda one=one: load(one.peer, one.pids(), 40000) for count, one in running.items()}
        in_turns(1, measures)
        return {name: medians(taken) for name, taken in in_turns(rounds, measures).items()}
    finally:
        for one in running.values():
            one.end()


def image(folder, rounds):
    """The image: its size, and the time from `docker run` to the first 200. Nothing where no engine answers."""
    def docker(*arguments):
        return subprocess.run(["docker", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    if subprocess.run(["docker", "info"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
        return None
    docker("build", "-q", "-t", "forever200", str(PROJECT))
    taken = []
    for _ in range(rounds):
        began = time.monotonic()
        container = docker("run", "-d", "-p", "127.0.0.1::80", "forever200")
        try:
            address = docker("port", container, "80/tcp")
            wait_until("the container answers", lambda: answers_200(address))
            taken.append(time.monotonic() - began)
            location = docker("exec", container, "sh", "-c", f"cat {LOCATIONS} | wc -c; gzip -6 <{LOCATIONS} | wc -c").split()
            idle = docker("exec", container, "sh", "-c", "cat /proc/[0-9]*/smaps_rollup 2>/dev/null | grep ^Pss:")
        finally:
            docker("rm", "-f", "-v", container)
    save = subprocess.Popen(["docker", "save", "forever200"], stdout=subprocess.PIPE)
    compressed = subprocess.run("gzip -6 | wc -c", shell=True, check=True, stdin=save.stdout, stdout=subprocess.PIPE)
    return {
        "mb": int(docker("image", "inspect", "-f", "{{.Size}}", "forever200")) / 1e6,
        "location_mb": int(location[0]) / 1e6,
        "compressed_mb": int(compressed.stdout) / 1e6,
        "compressed_location_mb": int(location[1]) / 1e6,
        "idle_mib": sum(int(line.split()[1]) for line in idle.splitlines()) / 1024,
        "seconds": median(taken),
    }


def answers_200(address):
    host, _, port = address.partition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=1) as stream:
            stream.sendall(b"GET / HTTP/1.1\r\n\r\n")
            return stream.recv(64).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False


def machine():
    """Where this was measured, and with what."""
    def first_line(*command):
        run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return run.stdout.strip().splitlines()[0]

    cpuinfo = pathlib.Path("/proc/cpuinfo").read_text()
    model = next((line.split(": ")[1] for line in cpuinfo.splitlines() if line.startswith("model name")), "unknown")
    system = next(line for line in pathlib.Path("/etc/os-release").read_text().splitlines() if line.startswith("PRETTY"))
    return {
        "cores": os.cpu_count(),
        "processor": model,
        "system": system.split('"')[1] + ", Linux " + os.uname().release.split("-")[0],
        "versions": {
            "haproxy": first_line("haproxy", "-v").split()[2].split("-")[0],
            "memcached": first_line("memcached", "-V").split()[-1],
            "nginx": first_line("nginx", "-v").split("/")[-1],
            "Python": first_line("python3", "-V").split()[-1],
            "Node": first_line("node", "-v")[1:],
            "rustc": first_line("rustc", "-V").split()[1],
            "commit": first_line("git", "-C", str(PROJECT), "describe", "--always", "--dirty"),
        },
    }
