"""Lines with several stations on Ciw. Runs in the peers' environment."""

import json
import sys
import time

import ciw

ASKED = json.loads(sys.argv[1])


def line(seed: int) -> float:
    """One line's mean wait."""
    service = ASKED["stations"] * ASKED["utilization"]
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(rate=1.0)],
        service_distributions=[ciw.dists.Exponential(rate=1 / service)],
        number_of_servers=[ASKED["stations"]],
    )
    ciw.seed(seed)
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_customers(ASKED["customers"], method="Finish")
    records = sorted(simulation.get_all_records(), key=lambda record: record.arrival_date)
    waits = [record.waiting_time for record in records][ASKED["warm"] :]
    return sum(waits) / len(waits)


def main() -> None:
    """Play every batch, and print what it took."""
    cpu, wall, waits = [], [], []
    for batch in range(ASKED["batches"]):
        cpu_from, wall_from = time.process_time(), time.perf_counter()
        waits += [line(1000 * batch + number) for number in range(ASKED["lines"])]
        cpu.append(time.process_time() - cpu_from)
        wall.append(time.perf_counter() - wall_from)
    print(json.dumps({"cpu_s": cpu, "wall_s": wall, "waits": waits}))


main()
