//! Reads the compiled-in boundaries, whose format `domain/geography/build.py` describes.

const COMPILED_IN: &[u8] = include_bytes!("../../geography/boundaries.bin");

const MAGIC: &[u8] = b"NYC311G1";

/// Degrees are counted in ten-millionths.
pub(super) const SCALE: f64 = 1e7;

/// The layers, in the order in which the file has them.
pub(super) const LAYERS: [&str; 7] = [
    "borough",
    "community_district",
    "council_district_2013",
    "council_district_2023",
    "police_precinct",
    "nta2020",
    "zcta",
];

/// All layers as one net of edges.
#[derive(Debug, Default)]
pub(super) struct Boundaries {
    /// The names of each layer's polygons; polygon ids begin at 1.
    pub(super) names: [Vec<String>; LAYERS.len()],
    /// For each label the polygons, as layer and id, that crossing an edge with it enters or leaves.
    pub(super) labels: Vec<Vec<(usize, usize)>>,
    pub(super) arcs: Vec<Arc>,
}

/// A chain of edges with one label, in ten-millionths of a degree, longitude first.
#[derive(Debug)]
pub(super) struct Arc {
    pub(super) label: usize,
    pub(super) points: Vec<(i32, i32)>,
}

/// Returns the boundaries that the crate was built with.
pub(super) fn compiled_in() -> Option<Boundaries> {
    let mut reader = Reader { rest: COMPILED_IN.strip_prefix(MAGIC)? };
    let mut boundaries = Boundaries::default();
    if reader.count()? != LAYERS.len() {
        return None;
    }
    for (layer, names) in LAYERS.iter().zip(&mut boundaries.names) {
        if reader.text()? != *layer {
            return None;
        }
        for _ in 0..reader.count()? {
            names.push(reader.text()?.to_owned());
        }
    }
    for _ in 0..reader.count()? {
        let sides = reader.count()?;
        let label = (0..sides).map(|_| Some((reader.count()?, reader.count()?))).collect::<Option<_>>()?;
        boundaries.labels.push(label);
    }
    let mut last = (0, 0);
    for _ in 0..reader.count()? {
        let label = reader.count()?;
        let length = reader.count()?;
        let mut points = Vec::with_capacity(length);
        for _ in 0..length {
            last = (last.0 + reader.signed()?, last.1 + reader.signed()?);
            points.push(last);
        }
        boundaries.arcs.push(Arc { label, points });
    }
    reader.rest.is_empty().then_some(boundaries)
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..63).step_by(7) {
            let (&byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            number |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn count(&mut self) -> Option<usize> {
        self.varint()?.try_into().ok()
    }

    fn signed(&mut self) -> Option<i32> {
        let number = i64::try_from(self.varint()?).ok()?;
        i32::try_from((number >> 1) ^ -(number & 1)).ok()
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = self.count()?;
        let (text, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        std::str::from_utf8(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compiled_in_boundaries_are_whole() {
        let boundaries = compiled_in().unwrap();
        assert_eq!(boundaries.names.each_ref().map(Vec::len), [5, 71, 51, 51, 77, 262, 177]);
        assert!(
            boundaries.arcs.iter().all(|arc| arc.points.len() > 1 && arc.label < boundaries.labels.len())
        );
        let sides = boundaries.labels.iter().flatten();
        assert!(sides.clone().all(|(layer, polygon)| (1..=boundaries.names[*layer].len()).contains(polygon)));
    }
}
