//! The dataset's columns and the types that SoQL gives them.

use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Number,
    Boolean,
    /// Local time without offset: the city's own dates.
    FloatingTimestamp,
    /// A point in time: the system's.
    FixedTimestamp,
    RowIdentifier,
    /// A structure that can only be asked for, and for being there.
    Location,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::FloatingTimestamp => "floating_timestamp",
            Self::FixedTimestamp => "fixed_timestamp",
            Self::RowIdentifier => "row_identifier",
            Self::Location => "location",
        }
    }
}

pub const SYSTEM_FIELDS: [&str; 4] = [":id", ":version", ":created_at", ":updated_at"];

const KNOWN: [(&str, Kind); 45] = [
    (":id", Kind::RowIdentifier),
    (":version", Kind::Text),
    (":created_at", Kind::FixedTimestamp),
    (":updated_at", Kind::FixedTimestamp),
    ("unique_key", Kind::Text),
    ("created_date", Kind::FloatingTimestamp),
    ("closed_date", Kind::FloatingTimestamp),
    ("due_date", Kind::FloatingTimestamp),
    ("resolution_action_updated_date", Kind::FloatingTimestamp),
    ("agency", Kind::Text),
    ("agency_name", Kind::Text),
    ("complaint_type", Kind::Text),
    ("descriptor", Kind::Text),
    ("descriptor_2", Kind::Text),
    ("location_type", Kind::Text),
    ("incident_zip", Kind::Text),
    ("incident_address", Kind::Text),
    ("street_name", Kind::Text),
    ("cross_street_1", Kind::Text),
    ("cross_street_2", Kind::Text),
    ("intersection_street_1", Kind::Text),
    ("intersection_street_2", Kind::Text),
    ("address_type", Kind::Text),
    ("city", Kind::Text),
    ("landmark", Kind::Text),
    ("facility_type", Kind::Text),
    ("status", Kind::Text),
    ("resolution_description", Kind::Text),
    ("community_board", Kind::Text),
    ("council_district", Kind::Text),
    ("police_precinct", Kind::Text),
    ("bbl", Kind::Text),
    ("borough", Kind::Text),
    ("x_coordinate_state_plane", Kind::Number),
    ("y_coordinate_state_plane", Kind::Number),
    ("open_data_channel_type", Kind::Text),
    ("park_facility_name", Kind::Text),
    ("park_borough", Kind::Text),
    ("vehicle_type", Kind::Text),
    ("taxi_company_borough", Kind::Text),
    ("taxi_pick_up_location", Kind::Text),
    ("bridge_highway_name", Kind::Text),
    ("latitude", Kind::Number),
    ("longitude", Kind::Number),
    ("location", Kind::Location),
];

const KNOWN_TEXT: [&str; 8] = [
    "bridge_highway_direction",
    "bridge_highway_segment",
    "road_ramp",
    ":@computed_region_efsh_h5xi",
    ":@computed_region_f5dn_yrer",
    ":@computed_region_yeji_bk3q",
    ":@computed_region_92fq_4b7q",
    ":@computed_region_sbqj_enih",
];

/// All columns that a query may name.
#[derive(Clone, Debug)]
pub struct Columns {
    kinds: BTreeMap<String, Kind>,
}

impl Default for Columns {
    /// Returns the columns of the city's dataset.
    fn default() -> Self {
        let texts = KNOWN_TEXT.iter().map(|name| (*name, Kind::Text));
        Self { kinds: KNOWN.into_iter().chain(texts).map(|(name, kind)| (name.to_owned(), kind)).collect() }
    }
}

impl Columns {
    pub fn kind(&self, name: &str) -> Option<Kind> {
        self.kinds.get(name).copied()
    }

    /// Adds a column that a file brings along; its type is text, since values come as strings.
    pub fn add(&mut self, name: &str) {
        if !self.kinds.contains_key(name) {
            self.kinds.insert(name.to_owned(), Kind::Text);
        }
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.kinds.keys().map(String::as_str)
    }
}
