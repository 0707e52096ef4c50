//! The list of sections, and with it every setting there is.

use super::definition::Definition;
use super::reading::Reading;
use super::section::Section;
use super::written::Layers;
use super::{
    client, database, faults, http, instance, kafka, log, poll, reconciliation, source, supervision, write,
};

/// Makes of each section, which is a file of that name, a field of [`Settings`] and a part of the list of
/// definitions.
macro_rules! sections {
    ($($section:ident: $type:ident),* $(,)?) => {
        /// All settings, checked.
        #[derive(Clone, Debug)]
        pub struct Settings {
            $(pub $section: $section::$type,)*
        }

        impl Section for Settings {
            fn read(reading: &mut Reading<'_>) -> Self {
                Self { $($section: Section::read(reading),)* }
            }
        }

        $(impl Default for $section::$type {
            fn default() -> Self {
                Section::read(&mut Reading::new(&Layers::new()))
            }
        })*

        static DEFINITIONS: &[&[&Definition]] = &[$($section::DEFINITIONS),*];
    };
}

sections! {
    source: SourceSettings,
    kafka: KafkaSettings,
    database: DatabaseSettings,
    http: HttpSettings,
    client: ClientSettings,
    poll: PollSettings,
    reconciliation: ReconciliationSettings,
    write: WriteSettings,
    supervision: SupervisionSettings,
    instance: InstanceSettings,
    log: LogSettings,
    faults: FaultSettings,
}

impl Default for Settings {
    /// Takes the default of every setting, whatever the environment says.
    fn default() -> Self {
        Section::read(&mut Reading::new(&Layers::new()))
    }
}

/// Lists every setting there is, by section.
pub fn definitions() -> impl Iterator<Item = &'static Definition> {
    DEFINITIONS.iter().copied().flatten().copied()
}

/// Finds a setting by its path.
pub fn find(path: &str) -> Option<&'static Definition> {
    definitions().find(|definition| definition.path == path)
}

/// Lists the names of the sections.
pub fn names() -> impl Iterator<Item = &'static str> {
    DEFINITIONS.iter().filter_map(|section| section.first()?.path.split('.').next())
}

/// Whether settings lie under this path.
pub fn is_section(path: &str) -> bool {
    definitions()
        .any(|definition| definition.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}
