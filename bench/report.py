"""From figures to bench/RESULTS.md and bench/chart.svg."""

import html
from statistics import median

from candidates import Forever200, Nginx, NodeEcho, Responder, Socketserver
from candidates import TcpToNginx, UnixResponder
from measure import MODERATE_RATE, SLOW_RATE

BAR = {"width": 760, "row": 34, "label": 330, "ours": "#0b6e4f", "other": "#8a8f98"}


def table(head, rows):
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


def short(value):
    """Three digits are as many as these figures have."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def milliseconds(microseconds):
    return short(microseconds / 1000)


def percentiles(seen):
    return " / ".join(milliseconds(seen[name]) for name in ("p50", "p99", "p999"))


def ratio(ours, theirs, figure="cpu"):
    """The median of the ratios of rounds that were run side by side."""
    return median(a["full"][figure] / b["full"][figure] for a, b in zip(ours["rounds"], theirs["rounds"]))


def answers(figures):
    reference = figures[Nginx.title]
    rows = [
        [title, short(one["full"]["per_second"]), short(one["full"]["cpu"]), short(ratio(one, reference)),
         percentiles(one["full"]), percentiles(one["steady"]), short(one["idle_mib"]), short(one["mib"]),
         one["full"]["failed"] + one["steady"]["failed"]]
        for title, one in figures.items()
    ]
    return table(
        ["", "requests/s", "CPU µs a request", "× nginx", "ms at full load: p50 / p99 / p99.9",
         "ms at a moderate rate", "MiB idle", "MiB after", "failed"], rows)


def goals(figures):
    """What was to be reached, and what was: (what, aim, reached as text, whether)."""
    rows = []

    def row(what, aim, value, reached, unit=""):
        rows.append([what, aim, f"{short(value)}{unit}", "yes" if reached else "**no**"])

    if parts := figures.get("answers"):
        shipped, tcp = parts[Forever200.title], parts[TcpToNginx.title]
        value = ratio(parts[Responder.title], parts[Nginx.title])
        row("Responder with recording, CPU, × nginx `return 200`", "≤ 1.0", value, value <= 1.0)
        value = ratio(shipped, tcp)
        row("As shipped, CPU, × the same haproxy before nginx", "≤ 0.85", value, value <= 0.85)
        value = ratio(shipped, tcp, "per_second")
        row("As shipped, requests/s, × the same haproxy before nginx", "≥ 1", value, value >= 1)
        value = 1 / ratio(shipped, parts[Socketserver.title])
        row("The way of 2019, CPU, × as shipped", "≥ 3", value, value >= 3)
        value = 1 / ratio(shipped, parts[NodeEcho.title])
        row("Node echo server, CPU, × as shipped", "≥ 6", value, value >= 6)
        value = shipped["idle_mib"]
        row("All processes, idle, before the first request", "< 64 MiB", value, value < 64, " MiB")
    if half := figures.get("half"):
        row("p99 at half of the full rate", "< 5 ms", half["p99"] / 1000, half["p99"] < 5000, " ms")
    if million := figures.get("million"):
        row(f"Failed of {million['requests']:,}", "0", million["failed"], million["failed"] == 0)
    if visible := figures.get("visible"):
        value = visible["full load"]["api_p99"] / 1000
        row("From answer to API at full load, p99", "≤ 60 ms", value, value <= 60, " ms")
        value = visible["full load"]["events"]["age_p99"] / 1000
        row("From first byte to event stream at full load, p99", "≤ 100 ms", value, value <= 100, " ms")
    if page := figures.get("page"):
        for encoding in ("identity", "gzip"):
            worst = max(page_ratio(page, f"/home {encoding} {length}") for length in lengths(page))
            row(f"`/home` of a full ring ({encoding}), CPU, × nginx with a file, worst", "≤ 2", worst, worst <= 2)
    if idle := figures.get("idle_connections"):
        value = (idle["responder 7000"]["mib"] - idle["responder 7000"]["base"]) * 1024 / 7000
        row("Responder, for each idle connection", "≤ 4 KiB", value, value <= 4, " KiB")
    if small := figures.get("programs"):
        row("Responder and viewer, idle", "< 12 MiB", small["mib"], small["mib"] < 12, " MiB")
    if nobody := figures.get("nobody_looks"):
        value = sum(nobody["nothing"].values()) / 1e4
        row("All programs, idle, of a core", "≤ 0.5 %", value, value <= 0.5, " %")
    if image := figures.get("image"):
        value = image["mb"] - image["location_mb"]
        row("Image without the IP data", "< 150 MB", value, value < 150, " MB")
        value = image["compressed_mb"] - image["compressed_location_mb"]
        row("The same, compressed", "< 60 MB", value, value < 60, " MB")
        row("From `docker run` to the first 200", "≤ 1 s", image["seconds"], image["seconds"] <= 1, " s")
        row("The container, idle", "< 64 MiB", image["idle_mib"], image["idle_mib"] < 64, " MiB")
    return table(["what", "aim", "measured", "reached"], rows)


def lengths(page):
    return sorted({int(name.split()[2]) for name in page})


def page_ratio(page, name):
    pairs = zip(page[f"{name} viewer"]["rounds"], page[f"{name} nginx"]["rounds"])
    return median(ours["cpu"] / theirs["cpu"] for ours, theirs in pairs)


def pages(page):
    rows = []
    for name in dict.fromkeys(name.rpartition(" ")[0] for name in page):
        path, encoding, length = name.split()
        ours, theirs = page[f"{name} viewer"], page[f"{name} nginx"]
        rows.append([f"`{path}`, {encoding}, requests of {int(length):,} B", short(ours["bytes"] / 1000),
                     short(ours["cpu"]), short(theirs["cpu"]), short(page_ratio(page, name)),
                     percentiles(ours), percentiles(theirs)])
    return table(["", "kB", "viewer, CPU µs", "nginx, CPU µs", "ratio", "viewer, ms: p50 / p99 / p99.9", "nginx, ms"], rows)


def visible(rows):
    return table(
        ["", "answered", "API, ms: p50 / p99 / worst", "event stream, ms since the first byte: p50 / p99 / worst"],
        [[name, short(row["answered"]),
          " / ".join(milliseconds(row[f"api_{which}"]) for which in ("p50", "p99", "max")),
          " / ".join(milliseconds(row["events"][f"age_{which}"]) for which in ("p50", "p99", "max"))]
         for name, row in rows.items()])


def growth(figures):
    text = []
    if idle := figures.get("idle_connections"):
        text.append(table(["idle connections", "MiB", "KiB for each"], [
            # Of a few, only chance would show.
            [name, short(row["mib"]), short((row["mib"] - row["base"]) * 1024 / count) if count >= 1000 else ""]
            for name, row in idle.items() for count in [int(name.split()[1])]]))
    for name, what in (("request_bytes", "bytes of body"), ("responders", "responders")):
        if part := figures.get(name):
            text.append(table([what, "requests/s", "CPU µs a request", "ms: p50 / p99 / p99.9"], [
                [count, short(row["per_second"]), short(row["cpu"]), percentiles(row)] for count, row in part.items()]))
    if part := figures.get("watchers"):
        text.append(table(
            ["watchers, with 100 requests/s", "CPU ms a second", "events to each", "ms since the first byte: p50 / p99"], [
                [count, milliseconds(row["cpu_a_second"]), short(row["events"] / max(1, int(count))),
                 f"{milliseconds(row['age_p50'])} / {milliseconds(row['age_p99'])}"] for count, row in part.items()]))
    return "\n".join(text)


def chart(figures):
    """CPU time of a request for each candidate, as bars; in colours that are readable on white and on black."""
    rows = sorted(((title.strip("*"), one["full"]["cpu"]) for title, one in figures.items()), key=lambda row: row[1])
    room, longest = BAR["width"] - BAR["label"] - 90, max(cpu for _, cpu in rows)
    height = BAR["row"] * len(rows) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {BAR["width"]} {height}" font-family="sans-serif" '
        'font-size="14" role="img">',
        "<title>CPU time of a request, by who answers it</title>",
        f'<rect width="{BAR["width"]}" height="{height}" fill="#fff"/>',
        '<text x="12" y="24" font-weight="bold">CPU time of a request, microseconds, all processes together</text>',
    ]
    for number, (title, cpu) in enumerate(rows):
        top, length = 40 + number * BAR["row"], cpu / longest * room
        ours = title in (Responder.title, UnixResponder.title, Forever200.title.strip("*"))
        label = html.escape(title.replace("`", ""))
        parts += [
            f'<text x="{BAR["label"] - 10}" y="{top + 18}" text-anchor="end">{label}</text>',
            f'<rect x="{BAR["label"]}" y="{top + 2}" width="{length:.1f}" height="{BAR["row"] - 10}" '
            f'fill="{BAR["ours" if ours else "other"]}"/>',
            f'<text x="{BAR["label"] + length + 8:.1f}" y="{top + 18}">{short(cpu)}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])


def write(figures, folder):
    """Writes what there is of figures."""
    machine = figures["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    text = [
        "# What it costs\n",
        "Written by `make bench`; [README.md](README.md) says how to read it.\n",
        f"Machine: {machine['cores']} cores, {machine['processor']}, {machine['system']}. Versions: {versions}.\n",
        "## What was to be reached\n", goals(figures),
    ]
    if part := figures.get("answers"):
        text += [
            "## Answers\n",
            f"A new connection for every request; 64 clients at full load; the moderate rate is {MODERATE_RATE:,} requests a "
            f"second, {SLOW_RATE} for the last two. Medians of {len(part[Nginx.title]['rounds'])} rounds, ratios within a "
            "round. Command: `bench/run answers`.\n",
            answers(part),
        ]
        (folder / "chart.svg").write_text(chart(part))
    if part := figures.get("by_ab"):
        text += ["The same by `ab -c 64`. Command: `bench/run by_ab`.\n", table(
            ["", "requests/s", "CPU µs a request", "failed"],
            [[title, short(row["per_second"]), short(row["cpu"]), row["failed"]] for title, row in part.items()])]
    if part := figures.get("half"):
        text.append(f"At half of its full rate ({short(part['per_second'])} requests/s): p50 / p99 / p99.9 "
                    f"{percentiles(part)} ms. Command: `bench/run half`.\n")
    if part := figures.get("million"):
        text.append(f"{part['requests']:,} requests at full load: {part['failed']} failed, {short(part['per_second'])} a "
                    f"second, {short(part['mib'])} MiB afterwards. Command: `bench/run million`.\n")
    if part := figures.get("page"):
        text += ["## The page\n", "Of a full ring, from the viewer itself, 8 clients of one address. `/home` and the "
                 "list are made once for all who look; the page of a request, and files, are made for each, one at a time "
                 "for an address. nginx serves the same bytes as a file. Command: `bench/run page`.\n", pages(part)]
    if part := figures.get("nobody_looks"):
        text += ["## When nobody looks\n", "CPU time of each program, per cent of a core, with a full ring. Command: "
                 "`bench/run nobody_looks`.\n", table(["while there come", *next(iter(part.values()))], [
                     [what, *(f"{used / 1e4:.2f}" for used in row.values())] for what, row in part.items()])]
    if part := figures.get("visible"):
        text += ["## Until it is seen\n", "Command: `bench/run visible`.\n", visible(part)]
    text += ["## How cost grows\n", "Commands: `bench/run idle_connections request_bytes responders watchers`.\n",
             growth(figures)]
    (folder / "RESULTS.md").write_text("\n".join(text))
