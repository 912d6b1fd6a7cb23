"""Writes by the client library of Influx 2: influx.py URL TOKEN. It packs by gzip, and raises when the server refuses."""

import sys

from influxdb_client import InfluxDBClient, Point, WritePrecision
from influxdb_client.client.write_api import SYNCHRONOUS

url, token = sys.argv[1:3]
with InfluxDBClient(url=url, token=token, org="any", enable_gzip=True) as client:
    api = client.write_api(write_options=SYNCHRONOUS)
    points = [Point("disk").tag("host", "db 1").field("used", 81.5).field("ok", True), Point("disk").tag("host", "db 2").field("used", 7)]
    api.write(bucket="any", record=points, write_precision=WritePrecision.MS)
