//! The index: a grid of known places, and the edges that each of its cells holds.

use super::boundaries::{Boundaries, LAYERS, SCALE};
use super::places::Places;
use crate::borough::Borough;

/// A cell's side in ten-millionths of a degree: about 56 by 42 metres.
const CELL: i32 = 5_000;

/// The south-west corner of the grid, outside the city.
const ORIGIN: (i32, i32) = (-742_700_000, 404_800_000);

/// Columns and rows, to a north-east corner outside the city.
const COLUMNS: usize = 1_200;
const ROWS: usize = 920;

/// For each layer the code of the polygon that a place lies in, 0 for none. Codes combine by exclusive or:
/// crossing an edge combines the codes of the polygons on its sides with the code here, which takes the one
/// left out and puts the one entered in, in whatever order the edges come.
type Codes = [u32; LAYERS.len()];

/// An edge within a cell, relative to the grid's origin.
#[derive(Clone, Copy)]
struct Edge {
    from: (i32, i32),
    to: (i32, i32),
    label: u16,
}

/// A cell: the answer at its centre, and where its edges lie.
#[derive(Clone, Copy, Default)]
struct Cell {
    first_edge: u32,
    edges: u16,
    centre: u16,
}

/// The index of all boundaries.
pub(super) struct Grid {
    cells: Vec<Cell>,
    edges: Vec<Edge>,
    /// What crossing an edge with each label changes.
    labels: Vec<Codes>,
    /// The different answers that centres have.
    centres: Vec<(Codes, Places)>,
    decoder: Decoder,
}

/// A point in ten-millionths of a degree from the grid's origin.
#[derive(Clone, Copy)]
struct Point {
    x: f64,
    y: f64,
}

impl Grid {
    pub(super) fn of(boundaries: &Boundaries) -> Self {
        let decoder = Decoder::of(boundaries);
        let labels = boundaries.labels.iter().map(|label| decoder.codes_of(label)).collect();
        let (cells, edges) = lay_out(boundaries);
        let mut grid = Self { cells, edges, labels, centres: Vec::new(), decoder };
        grid.find_centres();
        grid
    }

    pub(super) fn locate(&self, latitude: f64, longitude: f64) -> Places {
        let point =
            Point { x: longitude * SCALE - f64::from(ORIGIN.0), y: latitude * SCALE - f64::from(ORIGIN.1) };
        let Some((column, row)) = cell_of(point) else { return Places::default() };
        let Some(cell) = self.cells.get(row * COLUMNS + column) else { return Places::default() };
        let Some((centre, places)) = self.centres.get(usize::from(cell.centre)) else {
            return Places::default();
        };
        if cell.edges == 0 {
            return *places;
        }
        let codes = self.walk(*centre, cell, centre_of(column, row), point);
        if codes == *centre { *places } else { self.decoder.places(codes) }
    }

    /// Walks within a cell, and returns the codes of where the walk ends.
    #[inline]
    fn walk(&self, start_codes: Codes, cell: &Cell, start: Point, end: Point) -> Codes {
        let first = cell.first_edge as usize;
        let mut codes = start_codes;
        for edge in self.edges.get(first..first + usize::from(cell.edges)).unwrap_or_default() {
            if crosses(edge, start, end)
                && let Some(change) = self.labels.get(usize::from(edge.label))
            {
                for (code, change) in codes.iter_mut().zip(change) {
                    *code ^= change;
                }
            }
        }
        codes
    }

    /// Walks along each row from outside the city, from centre to centre.
    fn find_centres(&mut self) {
        let mut known = std::collections::HashMap::new();
        for row in 0..ROWS {
            let mut codes = Codes::default();
            for column in 0..COLUMNS {
                let index = row * COLUMNS + column;
                let Some(cell) = self.cells.get(index).copied() else { continue };
                if cell.edges > 0 {
                    let centre = centre_of(column, row);
                    // The cell's west side, on the way in; what lies on it is seen alike from both cells.
                    let side = Point { x: (column as f64) * f64::from(CELL), y: centre.y };
                    codes = self.walk(codes, &cell, side, centre);
                }
                let next = u16::try_from(known.len()).unwrap_or(u16::MAX);
                let number = *known.entry(codes).or_insert(next);
                if number == next && self.centres.len() == usize::from(next) {
                    self.centres.push((codes, self.decoder.places(codes)));
                }
                if let Some(cell) = self.cells.get_mut(index) {
                    cell.centre = number;
                }
                if cell.edges > 0 {
                    let centre = centre_of(column, row);
                    let side = Point { x: (column + 1) as f64 * f64::from(CELL), y: centre.y };
                    codes = self.walk(codes, &cell, centre, side);
                }
            }
        }
    }
}

/// Puts every edge into each cell that it touches.
fn lay_out(boundaries: &Boundaries) -> (Vec<Cell>, Vec<Edge>) {
    let mut placed = Vec::new();
    for arc in &boundaries.arcs {
        let label = u16::try_from(arc.label).unwrap_or_default();
        for pair in arc.points.windows(2) {
            let [from, to] = pair else { continue };
            let relative = |point: &(i32, i32)| (point.0 - ORIGIN.0, point.1 - ORIGIN.1);
            let edge = Edge { from: relative(from), to: relative(to), label };
            for_each_cell(&edge, |index| placed.push((index, edge)));
        }
    }
    placed.sort_by_key(|(index, _)| *index);
    let mut cells = vec![Cell::default(); COLUMNS * ROWS];
    for (position, (index, _)) in placed.iter().enumerate() {
        if let Some(cell) = cells.get_mut(*index as usize) {
            if cell.edges == 0 {
                cell.first_edge = u32::try_from(position).unwrap_or(u32::MAX);
            }
            cell.edges += 1;
        }
    }
    (cells, placed.into_iter().map(|(_, edge)| edge).collect())
}

/// Names each cell that an edge touches: row by row, from the edge's first to its last column there, and one
/// more on either side for safety against rounding.
fn for_each_cell(edge: &Edge, mut put: impl FnMut(u32)) {
    let (low, high) = if edge.from.1 <= edge.to.1 { (edge.from, edge.to) } else { (edge.to, edge.from) };
    let slope = f64::from(high.0 - low.0) / f64::from((high.1 - low.1).max(1));
    let (west, east) = (low.0.min(high.0), low.0.max(high.0));
    let x_at = |y: i32| (f64::from(low.0) + slope * f64::from(y - low.1)) as i32;
    // An edge on the border of two rows or columns belongs to both.
    for row in (low.1 - 1).div_euclid(CELL)..=high.1.div_euclid(CELL) {
        let (bottom, top) = ((row * CELL).max(low.1), ((row + 1) * CELL).min(high.1));
        let (start, end) = (x_at(bottom), x_at(top));
        let (start, end) = if high.1 == low.1 { (west, east) } else { (start.min(end), start.max(end)) };
        let (start, end) = ((start - 2).max(west - 1), (end + 2).min(east));
        for column in start.div_euclid(CELL)..=end.div_euclid(CELL) {
            if let (Ok(column), Ok(row)) = (usize::try_from(column), usize::try_from(row))
                && column < COLUMNS
                && row < ROWS
                && let Ok(index) = u32::try_from(row * COLUMNS + column)
            {
                put(index);
            }
        }
    }
}

#[inline]
fn cell_of(point: Point) -> Option<(usize, usize)> {
    let (column, row) = (point.x / f64::from(CELL), point.y / f64::from(CELL));
    // Not-a-number fails both.
    if column >= 0.0 && row >= 0.0 && column < COLUMNS as f64 && row < ROWS as f64 {
        Some((column as usize, row as usize))
    } else {
        None
    }
}

/// Returns a cell's known place: near its centre, and between the whole numbers, so that no corner of a
/// boundary lies on it.
#[inline]
fn centre_of(column: usize, row: usize) -> Point {
    let middle = f64::from(CELL) / 2.0;
    Point {
        x: column as f64 * f64::from(CELL) + middle + 0.5,
        y: row as f64 * f64::from(CELL) + middle + 0.25,
    }
}

/// Says whether the walk from `start` to `end` crosses an edge. Each corner of a boundary is put on one side
/// of the walk, those on the line on the right, by the same sum for both edges that meet there, so a walk
/// through a corner crosses as often as it must.
#[inline]
fn crosses(edge: &Edge, start: Point, end: Point) -> bool {
    let from = Point { x: f64::from(edge.from.0), y: f64::from(edge.from.1) };
    let to = Point { x: f64::from(edge.to.0), y: f64::from(edge.to.1) };
    left_of(start, end, from) != left_of(start, end, to) && left_of(from, to, start) != left_of(from, to, end)
}

#[inline]
fn left_of(from: Point, to: Point, point: Point) -> bool {
    (to.x - from.x) * (point.y - from.y) - (to.y - from.y) * (point.x - from.x) > 0.0
}

/// Gives polygons their codes, and codes their meaning.
///
/// A code is the polygon's number and a hash of it, so that a combination of two codes is no third one. Two
/// remain combined only where the source's polygons overlap, which they do by some centimetres in a few
/// places; there the first of the two is the answer.
struct Decoder {
    polygons: [Vec<(u32, Place)>; LAYERS.len()],
}

/// What one polygon means.
#[derive(Clone, Copy)]
enum Place {
    Borough(Option<Borough>),
    Number(i16),
    Name(&'static str),
}

const NUMBER_BITS: u32 = 9;

fn code_of(polygon: usize) -> u32 {
    let number = u32::try_from(polygon).unwrap_or_default();
    let hash = number.wrapping_mul(0x9E37_79B9) ^ number.wrapping_mul(0x85EB_CA6B).rotate_left(13);
    (hash.wrapping_mul(0xC2B2_AE35) << NUMBER_BITS) | number
}

impl Decoder {
    fn of(boundaries: &Boundaries) -> Self {
        let mut layer = 0;
        let polygons = boundaries.names.each_ref().map(|names| {
            let places = names.iter().enumerate().map(|(index, name)| {
                let place = match layer {
                    0 => Place::Borough(Borough::from_stated(name)),
                    1..=4 => Place::Number(name.parse().unwrap_or_default()),
                    // Built once for the life of the program.
                    _ => Place::Name(String::leak(name.clone())),
                };
                (code_of(index + 1), place)
            });
            let places = places.collect();
            layer += 1;
            places
        });
        Self { polygons }
    }

    /// Returns what crossing an edge with these polygons on its sides changes.
    fn codes_of(&self, label: &[(usize, usize)]) -> Codes {
        let mut codes = Codes::default();
        for (layer, polygon) in label {
            if let Some(code) = codes.get_mut(*layer) {
                *code ^= code_of(*polygon);
            }
        }
        codes
    }

    fn places(&self, codes: Codes) -> Places {
        let [borough, community, council_2013, council_2023, precinct, nta, zcta] = codes;
        let number = |layer, code| match self.place(layer, code) {
            Some(Place::Number(number)) => Some(number),
            _ => None,
        };
        let name = |layer, code| match self.place(layer, code) {
            Some(Place::Name(name)) => Some(name),
            _ => None,
        };
        Places {
            borough: match self.place(0, borough) {
                Some(Place::Borough(borough)) => borough,
                _ => None,
            },
            community_district: number(1, community),
            council_districts: [number(2, council_2013), number(3, council_2023)],
            police_precinct: number(4, precinct),
            nta2020: name(5, nta),
            zcta: name(6, zcta),
        }
    }

    #[inline]
    fn place(&self, layer: usize, code: u32) -> Option<Place> {
        if code == 0 {
            return None;
        }
        let polygons = self.polygons.get(layer)?;
        let number = (code & ((1 << NUMBER_BITS) - 1)) as usize;
        match number.checked_sub(1).and_then(|index| polygons.get(index)) {
            Some((known, place)) if *known == code => Some(*place),
            _ => overlap(polygons, code),
        }
    }
}

/// Takes apart the combined code of two polygons that overlap.
#[cold]
fn overlap(polygons: &[(u32, Place)], code: u32) -> Option<Place> {
    let is_one = |code: u32| polygons.iter().any(|(known, _)| *known == code);
    polygons.iter().find(|(first, _)| is_one(code ^ first)).map(|(_, place)| *place)
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;
    use crate::geography::boundaries::compiled_in;

    static BOUNDARIES: LazyLock<Boundaries> = LazyLock::new(|| compiled_in().unwrap());
    static GRID: LazyLock<Grid> = LazyLock::new(|| Grid::of(&BOUNDARIES));

    /// Counts, for every polygon, the edges due west of a point: the textbook's way, with exact numbers, over
    /// all edges of the city.
    fn by_counting(x: f64, y: f64) -> Places {
        let mut codes = Codes::default();
        for arc in &BOUNDARIES.arcs {
            for pair in arc.points.windows(2) {
                let [(x1, y1), (x2, y2)] =
                    [pair[0], pair[1]].map(|(x, y)| (f64::from(x - ORIGIN.0), f64::from(y - ORIGIN.1)));
                if (y1 > y) != (y2 > y) && x1 + (y - y1) * (x2 - x1) / (y2 - y1) < x {
                    for (code, change) in codes.iter_mut().zip(GRID.labels[arc.label]) {
                        *code ^= change;
                    }
                }
            }
        }
        GRID.decoder.places(codes)
    }

    #[test]
    fn combined_codes_are_no_third_code_and_tell_both() {
        let codes: Vec<u32> = (1..=262).map(code_of).collect();
        let mut seen = std::collections::HashSet::new();
        for (index, first) in codes.iter().enumerate() {
            for second in &codes[index + 1..] {
                assert!(!codes.contains(&(first ^ second)));
                assert!(seen.insert(first ^ second));
            }
        }
    }

    #[test]
    fn grid_ends_outside_the_city() {
        for row in 0..ROWS {
            let codes =
                |column: usize| GRID.centres[usize::from(GRID.cells[row * COLUMNS + column].centre)].0;
            assert_eq!((codes(0), codes(COLUMNS - 1)), (Codes::default(), Codes::default()), "row {row}");
        }
        let corners = BOUNDARIES.arcs.iter().flat_map(|arc| &arc.points);
        assert!(corners.clone().all(|(x, y)| {
            (0..CELL * COLUMNS as i32).contains(&(x - ORIGIN.0))
                && (0..CELL * ROWS as i32).contains(&(y - ORIGIN.1))
        }));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn look_up_equals_counting_all_edges(longitude in -74.26..-73.69_f64, latitude in 40.49..40.92_f64) {
            let (x, y) = (longitude * SCALE - f64::from(ORIGIN.0), latitude * SCALE - f64::from(ORIGIN.1));
            prop_assert_eq!(GRID.locate(latitude, longitude), by_counting(x, y));
        }

        /// Points beside the boundaries, where a wrong index would show.
        #[test]
        fn look_up_equals_counting_beside_boundaries(
            arc in any::<proptest::sample::Index>(), corner in any::<proptest::sample::Index>(), aside in (-500.0..500.0_f64, -500.0..500.0_f64),
        ) {
            let arc = arc.get(&BOUNDARIES.arcs);
            let (x, y) = *corner.get(&arc.points);
            let (longitude, latitude) = ((f64::from(x) + aside.0) / SCALE, (f64::from(y) + aside.1) / SCALE);
            let (x, y) = (longitude * SCALE - f64::from(ORIGIN.0), latitude * SCALE - f64::from(ORIGIN.1));
            prop_assert_eq!(GRID.locate(latitude, longitude), by_counting(x, y));
        }
    }
}
