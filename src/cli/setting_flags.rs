//! A flag for every setting, made from the one list of them, so that none is forgotten.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Args, FromArgMatches, value_parser};

use crate::config::Sources;
use crate::config::sections::definitions;

const CONFIG: &str = "config";
const HEADING: &str = "Settings";

/// The settings that were given as flags.
#[derive(Debug, Default)]
pub struct SettingFlags {
    file: Option<PathBuf>,
    stated: Vec<(String, String)>,
}

impl SettingFlags {
    /// Adds environment and default file of this process.
    pub fn sources(self) -> Sources {
        Sources::of_process(self.file, self.stated)
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.file = matches.get_one::<PathBuf>(CONFIG).cloned();
        self.stated = definitions()
            .filter(|definition| definition.has_flag())
            .filter_map(|definition| {
                let value = matches.get_one::<String>(definition.path)?;
                Some((definition.path.to_owned(), value.clone()))
            })
            .collect();
        Ok(())
    }
}

impl Args for SettingFlags {
    fn augment_args(command: clap::Command) -> clap::Command {
        let file = Arg::new(CONFIG)
            .long("config")
            .value_name("FILE")
            .global(true)
            .value_parser(value_parser!(PathBuf))
            .help_heading(HEADING)
            .help("File with settings, TOML [default: nyc311.toml where there is one]; `nyc311 settings` lists them all, with the flag of each");
        definitions().filter(|definition| definition.has_flag()).fold(
            command.arg(file),
            |command, definition| {
                command.arg(
                    Arg::new(definition.path)
                        .long(definition.flag().trim_start_matches('-').to_owned())
                        .value_name("VALUE")
                        .global(true)
                        .allow_negative_numbers(true)
                        // There are some fifty of them: a command's own flags would scroll away.
                        .hide(true),
                )
            },
        )
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}
