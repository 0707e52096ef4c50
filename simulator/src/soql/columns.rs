//! The dataset's columns and the types that SoQL gives them.

use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
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

impl ColumnType {
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

const KNOWN: [(&str, ColumnType); 45] = [
    (":id", ColumnType::RowIdentifier),
    (":version", ColumnType::Text),
    (":created_at", ColumnType::FixedTimestamp),
    (":updated_at", ColumnType::FixedTimestamp),
    ("unique_key", ColumnType::Text),
    ("created_date", ColumnType::FloatingTimestamp),
    ("closed_date", ColumnType::FloatingTimestamp),
    ("due_date", ColumnType::FloatingTimestamp),
    ("resolution_action_updated_date", ColumnType::FloatingTimestamp),
    ("agency", ColumnType::Text),
    ("agency_name", ColumnType::Text),
    ("complaint_type", ColumnType::Text),
    ("descriptor", ColumnType::Text),
    ("descriptor_2", ColumnType::Text),
    ("location_type", ColumnType::Text),
    ("incident_zip", ColumnType::Text),
    ("incident_address", ColumnType::Text),
    ("street_name", ColumnType::Text),
    ("cross_street_1", ColumnType::Text),
    ("cross_street_2", ColumnType::Text),
    ("intersection_street_1", ColumnType::Text),
    ("intersection_street_2", ColumnType::Text),
    ("address_type", ColumnType::Text),
    ("city", ColumnType::Text),
    ("landmark", ColumnType::Text),
    ("facility_type", ColumnType::Text),
    ("status", ColumnType::Text),
    ("resolution_description", ColumnType::Text),
    ("community_board", ColumnType::Text),
    ("council_district", ColumnType::Text),
    ("police_precinct", ColumnType::Text),
    ("bbl", ColumnType::Text),
    ("borough", ColumnType::Text),
    ("x_coordinate_state_plane", ColumnType::Number),
    ("y_coordinate_state_plane", ColumnType::Number),
    ("open_data_channel_type", ColumnType::Text),
    ("park_facility_name", ColumnType::Text),
    ("park_borough", ColumnType::Text),
    ("vehicle_type", ColumnType::Text),
    ("taxi_company_borough", ColumnType::Text),
    ("taxi_pick_up_location", ColumnType::Text),
    ("bridge_highway_name", ColumnType::Text),
    ("latitude", ColumnType::Number),
    ("longitude", ColumnType::Number),
    ("location", ColumnType::Location),
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
pub struct KnownColumns {
    kinds: BTreeMap<String, ColumnType>,
}

impl Default for KnownColumns {
    /// Returns the columns of the city's dataset.
    fn default() -> Self {
        let texts = KNOWN_TEXT.iter().map(|name| (*name, ColumnType::Text));
        Self { kinds: KNOWN.into_iter().chain(texts).map(|(name, kind)| (name.to_owned(), kind)).collect() }
    }
}

impl KnownColumns {
    pub fn kind(&self, name: &str) -> Option<ColumnType> {
        self.kinds.get(name).copied()
    }

    /// Adds a column that a file brings along; its type is text, since values come as strings.
    pub fn add(&mut self, name: &str) {
        if !self.kinds.contains_key(name) {
            self.kinds.insert(name.to_owned(), ColumnType::Text);
        }
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.kinds.keys().map(String::as_str)
    }
}
