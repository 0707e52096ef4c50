//! The agencies: one name for each code. Rows of 2009 have thirty names for the Department of Sanitation
//! alone, one for each garage.
//!
//! `domain/data/agencies.csv` is the table.

use std::sync::LazyLock;

const TABLE: &str = include_str!("../data/agencies.csv");

/// Codes and names, by code.
static AGENCIES: LazyLock<Vec<(&'static str, &'static str)>> = LazyLock::new(|| {
    let mut agencies: Vec<_> = TABLE.lines().skip(1).filter_map(|line| line.split_once(',')).collect();
    agencies.sort_unstable();
    agencies
});

/// Returns the one name of an agency; `None` for a code that is not in the table.
pub fn name_of(code: &str) -> Option<&'static str> {
    let index = AGENCIES.binary_search_by(|(known, _)| (*known).cmp(code)).ok()?;
    AGENCIES.get(index).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_one_name() {
        assert_eq!(name_of("DSNY"), Some("Department of Sanitation"));
        assert_eq!(name_of("NOPE"), None);
        assert_eq!(AGENCIES.len(), TABLE.lines().count() - 1);
        assert!(AGENCIES.windows(2).all(|pair| pair[0].0 != pair[1].0));
    }
}
