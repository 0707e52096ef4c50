//! What a section is, and the macro that declares the settings of one.

use super::reading::Reading;

/// The settings that share the first part of their path.
pub trait Section {
    /// Reads each setting of the section; what is wrong is noted in the reading, and a default stands in.
    fn read(reading: &mut Reading<'_>) -> Self;
}

/// Declares a section, once for everything that follows from it: the struct of its values, how they are read,
/// and the definitions of which flags, variables, `nyc311 settings` and `docs/configuration.md` are made.
///
/// Each setting is `name: type = default, form, "meaning", "reason";`. A form that is not read as the type,
/// or a default of another one, does not compile; nor does a rule about a setting that `DECLARED` does not
/// have.
macro_rules! settings {
    (
        $(#[$doc:meta])*
        $section:ident $path:literal {
            $($name:ident: $type:ty = $default:expr, $form:expr, $meaning:literal, $reason:literal;)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $section {
            $(#[doc = $meaning] pub $name: $type,)*
        }

        /// Each setting of the section, by its name.
        pub struct Declared {
            $(pub $name: $crate::config::definition::Setting<$type>,)*
        }

        pub static DECLARED: Declared = Declared {
            $($name: $crate::config::definition::Setting {
                definition: $crate::config::definition::Definition {
                    path: concat!($path, ".", stringify!($name)),
                    meaning: $meaning,
                    reason: $reason,
                    form: || DECLARED.$name.form,
                    default: || DECLARED.$name.default_text(),
                },
                form: &$form,
                default: || $default,
            },)*
        };

        /// Every setting of the section, in the order in which they are declared.
        pub static DEFINITIONS: &[&$crate::config::definition::Definition] =
            &[$(&DECLARED.$name.definition),*];

        impl $crate::config::section::Section for $section {
            fn read(reading: &mut $crate::config::reading::Reading<'_>) -> Self {
                Self { $($name: reading.take(&DECLARED.$name),)* }
            }
        }
    };
}

pub(super) use settings;
