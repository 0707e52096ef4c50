//! Which program this is: its version, the commit that it was built from, and what it was built with.

use std::sync::LazyLock;

/// The version of the program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Whether librdkafka has TLS, and whether the allocator is jemalloc.
const FEATURES: [(&str, bool); 2] =
    [("jemalloc", cfg!(feature = "jemalloc")), ("kafka-tls", cfg!(feature = "kafka-tls"))];

/// Returns the commit, or `unknown` where the build was not told.
pub fn commit() -> &'static str {
    option_env!("GIT_COMMIT").filter(|commit| !commit.is_empty()).unwrap_or("unknown")
}

/// Returns what `nyc311 --version` says behind the name.
pub fn line() -> &'static str {
    static LINE: LazyLock<String> = LazyLock::new(|| {
        let built_in: Vec<&str> = FEATURES.iter().filter(|(_, on)| *on).map(|(name, _)| *name).collect();
        let features = if built_in.is_empty() { "none".to_owned() } else { built_in.join(", ") };
        format!("{VERSION} (commit {}, features: {features})", commit())
    });
    &LINE
}
