"""What the service counts, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from forecast.service.limits import Room

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
TOGETHER = (1, 2, 4, 8, 16, 32, 64)


class Meter:
    """Counters of one service, in a registry of its own."""

    def __init__(self, room: Room):
        self.registry = found = CollectorRegistry()
        ProcessCollector(registry=found)
        self.requests = Counter("forecast_requests", "Requests by path and status", ["path", "status"], registry=found)
        self.refusals = Counter("forecast_refusals", "Requests refused, by code", ["code"], registry=found)
        self.rows = Counter("forecast_rows", "Rows of forecast tables", ["path", "name"], registry=found)
        self.seconds = Histogram(
            "forecast_seconds",
            "Seconds from the head of a request to its answer",
            ["path"],
            buckets=SECONDS,
            registry=found,
        )
        self.together = Histogram("forecast_together", "Requests answered at once", buckets=TOGETHER, registry=found)
        Gauge("forecast_requests_now", "Requests at work", registry=found).set_function(lambda: room.requests)
        Gauge("forecast_held_bytes", "Bytes of bodies and answers held", registry=found).set_function(lambda: room.held)

    def text(self) -> bytes:
        return generate_latest(self.registry)
