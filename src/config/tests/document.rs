//! `docs/configuration.md` says what is so.

use crate::config::properties;
use crate::config::sections::definitions;

const TABLE_BEGINS: &str = "## All settings\n";
const TABLE_ENDS: &str = "\n## kafka.properties\n";

/// The table of docs/configuration.md, as it has to be.
fn documented_table() -> String {
    let mut table = String::new();
    let mut section = "";
    for definition in definitions() {
        let head = definition.path.split('.').next().unwrap();
        if head != section {
            section = head;
            table.push_str(&format!("\n### {head}\n\n| setting | variable, flag | default | what it is | allowed, and why |\n|---|---|---|---|---|\n"));
        }
        let file = definition.file_variable().map(|file| format!(" `{file}`")).unwrap_or_default();
        let flag = if definition.has_flag() { format!(" `{}`", definition.flag()) } else { String::new() };
        let default = (definition.default)().unwrap_or_else(|| "none".to_owned());
        let form = definition.allowed();
        let allowed = form[..1].to_uppercase() + &form[1..];
        table.push_str(&format!(
            "| `{}` | `{}`{file}{flag} | {default} | {} | {allowed}. {} |\n",
            definition.path,
            definition.variable(),
            definition.meaning,
            definition.reason
        ));
    }
    table
}

/// Checks the table, or writes it: `UPDATE_DOCS=1 cargo test --lib configuration_document`.
#[test]
fn configuration_document_lists_every_setting_as_it_is() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    let document = std::fs::read_to_string(path).unwrap();
    let (before, rest) = document.split_once(TABLE_BEGINS).unwrap();
    let (_, after) = rest.split_once(TABLE_ENDS).unwrap();
    let expected = format!("{before}{TABLE_BEGINS}{}{TABLE_ENDS}{after}", documented_table());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        return std::fs::write(path, expected).unwrap();
    }
    for line in expected.lines() {
        assert!(
            document.lines().any(|other| other == line),
            "docs/configuration.md lacks the line\n{line}\nUPDATE_DOCS=1 cargo test --lib configuration_document writes it"
        );
    }
    assert_eq!(
        document, expected,
        "docs/configuration.md lists something that is no setting, or in another order"
    );
}

#[test]
fn configuration_document_lists_every_refused_property() {
    let document = include_str!("../../../docs/configuration.md");
    for (name, reason) in properties::REFUSED {
        assert!(
            document.contains(&format!("| `{name}` | {reason} |")),
            "docs/configuration.md lacks | `{name}` | {reason} |"
        );
    }
}
