"""Measure replicas behind HAProxy, and plan machines for a rate of photos from what was measured.

    python -m benchmarks.scale measure --out build/benchmarks/scale.json
    python -m benchmarks.scale plan --measured build/benchmarks/scale.json --rate 1000 \\
        --instance NAME --vcpus 8 --price 0.40 --gbit 10

`measure` takes about ten minutes on an idle machine. `plan` simulates.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks.scale.measure import HELD_OUT_ERROR, measure
from benchmarks.scale.plan import Instance, Measured, plan


def main() -> int:
    """Print JSON; 1 if a held-out load was not predicted, or no plan was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    measuring = commands.add_parser("measure", help="1, 2 and 4 replicas behind HAProxy")
    measuring.add_argument("--seconds", type=float, default=60.0, help="of each load")
    measuring.add_argument("--precision", choices=("float32", "int8"), default="float32")
    measuring.add_argument("--out", type=Path, required=True)
    planning = commands.add_parser("plan", help="machines and money for a rate; simulated")
    planning.add_argument("--measured", type=Path, required=True, help="written by measure")
    planning.add_argument("--rate", type=float, default=1000.0, help="photos a second")
    planning.add_argument("--p95-ms", type=float, default=500.0, help="goal")
    planning.add_argument("--instance", required=True, help="name of the instance type")
    planning.add_argument("--vcpus", type=int, required=True, help="of one instance")
    planning.add_argument("--price", type=float, required=True, help="list price of one instance, per hour")
    planning.add_argument("--gbit", type=float, default=10.0, help="network of a balancer, Gbit/s")
    planning.add_argument("--speed", type=float, default=1.0, help="of a vCPU, relative to a core that was measured")
    planning.add_argument("--photo-bytes", type=float, help="mean size of a photo; default: of those measured")
    arguments = parser.parse_args()
    if arguments.command == "measure":
        figures = measure(arguments.seconds, arguments.precision)
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(figures) + "\n", encoding="utf-8")
        print(json.dumps({**figures, "work_ms": f"{len(figures['work_ms'])} values"}, indent=1))
        return int(any(abs(error) > HELD_OUT_ERROR for error in figures["held_out_errors"]))
    measured = Measured.from_dict(json.loads(arguments.measured.read_text(encoding="utf-8")))
    instance = Instance(arguments.instance, arguments.vcpus, arguments.price, arguments.speed)
    found = plan(
        measured,
        instance,
        rate=arguments.rate,
        p95_s=arguments.p95_ms / 1000,
        photo_bytes=arguments.photo_bytes or measured.photo_bytes,
        gbit=arguments.gbit,
    )
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
