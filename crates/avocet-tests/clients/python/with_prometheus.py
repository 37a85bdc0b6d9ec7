"""Prometheus' own parser on what a broker tells: with_prometheus.py HOST PORT.

Fetches /metrics, checks what holds for every metric, and prints each number in a line:
NAME LABEL=VALUE NUMBER, or NAME NUMBER without a label.
"""

import sys
from urllib.request import urlopen

from prometheus_client.openmetrics.parser import text_string_to_metric_families

HOST, PORT = sys.argv[1], sys.argv[2]
WAIT = 20

with urlopen(f"http://{HOST}:{PORT}/metrics", timeout=WAIT) as answer:
    kind = answer.headers["Content-Type"]
    assert kind == "application/openmetrics-text; version=1.0.0; charset=utf-8", kind
    text = answer.read().decode()

families = list(text_string_to_metric_families(text))
assert families, text
names = [family.name for family in families]
assert len(set(names)) == len(names), names
for family in families:
    assert family.name.startswith("avocet_"), family
    assert family.type in ("counter", "gauge"), family
    assert family.documentation.endswith("."), family
    assert family.samples, family
    for sample in family.samples:
        suffix = "_total" if family.type == "counter" else ""
        assert sample.name == family.name + suffix, sample
        assert sample.value == int(sample.value) >= 0, sample
        labels = [f"{name}={value}" for name, value in sample.labels.items()]
        assert len(labels) <= 1, sample
        print(sample.name, *labels, int(sample.value))
