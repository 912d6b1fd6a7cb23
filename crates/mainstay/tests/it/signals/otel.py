"""Sends metrics by the OpenTelemetry SDK: otel.py http|grpc ENDPOINT TOKEN, and says whether the SDK took them for delivered."""

import sys

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExportResult, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

way, endpoint, token = sys.argv[1:4]
if way == "http":
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    exporter = OTLPMetricExporter(endpoint, headers={"Authorization": f"Bearer {token}"}, compression=Compression.Gzip)
else:
    import grpc
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter

    exporter = OTLPMetricExporter(
        endpoint, insecure=True, headers=(("authorization", f"Bearer {token}"),), compression=grpc.Compression.Gzip
    )

results = []
export = exporter.export


def told(*given, **more):
    result = export(*given, **more)
    results.append(result)
    return result


exporter.export = told
reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
provider = MeterProvider(metric_readers=[reader], resource=Resource.create({"service.name": f"shop-{way}", "service.instance.id": "one"}))
meter = provider.get_meter("tests")
orders = meter.create_counter("orders", unit="1", description="Orders taken.")
orders.add(5, {"country": "at"})
orders.add(7, {"country": "de"})
meter.create_up_down_counter("cart.size", unit="By").add(-3)
latency = meter.create_histogram("latency", unit="s")
for value in (0.2, 7.0, 30.0):
    latency.record(value)
provider.shutdown()
print(*(result.name for result in results))
sys.exit(0 if results and all(result is MetricExportResult.SUCCESS for result in results) else 1)
